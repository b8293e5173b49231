"""The ONNX file of a run with 8-bit weights and activations."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from stainproof import files
from stainproof.data.images import Images
from stainproof.data.imageset import ImageSet
from stainproof.errors import DataError
from stainproof.evaluation.evaluate import labels_for, predict_all
from stainproof.models.engines import DEFAULT, INT8, WORTH_IT, batch_seconds, open_engine
from stainproof.models.predictor import Classifier, Member
from stainproof.progress import Track
from stainproof.quiet import quiet_log
from stainproof.results import CARD_FILE, INT8_FILE, ONNX_FILE, Quantised

BATCH_SIZE = 32
CALIBRATION_IMAGES = 200
MOST_LOST = 0.002
"""Accuracy that a network in 8 bits may lose."""


def quantise(run: Path, exact: Classifier, data: ImageSet, seed: int, track: Track) -> Quantised:
    """Make a run's network in 8 bits; keep it where it is faster and as accurate.

    Args:
        run: The run folder.
        exact: Its classifier, in 32 bits.
        data: Labelled images, 400 or more; 200 of them calibrate, the others measure.
        seed: Chooses the images that calibrate.
        track: Shows progress.

    Raises:
        DataError: There are too few images, or they have a class that the model does not know.
    """
    if len(data) < 2 * CALIBRATION_IMAGES:
        raise DataError(
            f"{data.source}: needs {2 * CALIBRATION_IMAGES} images or more, got {len(data)}"
        )
    order = np.random.default_rng(seed).permutation(len(data))
    calibration, rest = np.split(order, [CALIBRATION_IMAGES])
    measured = data.subset(np.sort(rest))
    labels = labels_for(exact, measured)
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder)
        shutil.copy(run / ONNX_FILE, trial)
        sha256 = write_int8(trial, data.images[np.sort(calibration)])
        card = exact.members[0].card.model_copy(update={"int8_sha256": sha256})
        small = Classifier([Member(open_engine(INT8, trial, card), card, trial)])
        accuracy, accuracy_int8 = (
            float(np.mean(predict_all(one, measured, track).argmax(axis=1) == labels))
            for one in (exact, small)
        )
        faster = batch_seconds(DEFAULT, run, card) / batch_seconds(INT8, trial, card)
        kept = faster >= WORTH_IT and accuracy - accuracy_int8 < MOST_LOST
        if kept:
            with files.atomic_path(run / INT8_FILE) as part:
                shutil.copy(trial / INT8_FILE, part)
            card.write(run / CARD_FILE)
    return Quantised(
        num_images=len(measured),
        accuracy=accuracy,
        accuracy_int8=accuracy_int8,
        times_faster=faster,
        kept=kept,
    )


def write_int8(run: Path, calibration: Images) -> str:
    """Write `best.int8.onnx` beside a run's `best.onnx`.

    Per-channel weights of 7 bits, which no processor's 8-bit products overflow, and activations
    of 8 bits over the range seen on the calibration images (Jacob et al. 2018, "Quantization and
    Training of Neural Networks", section 2; ONNX Runtime's static quantisation).

    Args:
        run: A run folder with `best.onnx`.
        calibration: uint8 (n, size, size, 3), of the kind to be answered for.

    Returns:
        The SHA-256 of the file.
    """
    with (
        quiet_log(),
        tempfile.TemporaryDirectory() as folder,
        files.atomic_path(run / INT8_FILE) as part,
    ):
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(run / ONNX_FILE, prepared)
        quantize_static(
            prepared,
            part,
            _Calibration(calibration),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
        )
    return files.sha256_of(run / INT8_FILE)


class _Calibration(CalibrationDataReader):  # type: ignore[misc]
    """Hands the calibration images out batch by batch."""

    def __init__(self, images: Images):
        parts = np.array_split(images, -(-len(images) // BATCH_SIZE))
        self.batches: Iterator[NDArray[np.uint8]] = iter(parts)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """Return the next batch as the network's input; nothing at the end."""
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch}
