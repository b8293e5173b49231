"""Quantisation of a run's ONNX model to 8-bit weights and activations."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stainproof.config.parsing import check_seed
from stainproof.config.schema import SourceConfig
from stainproof.data import sources
from stainproof.data.images import Images
from stainproof.errors import CheckpointError, DataError
from stainproof.inference.classifier import Classifier
from stainproof.inference.engines import DEFAULT, INT8, MIN_SPEEDUP, batch_seconds, open_engine
from stainproof.inference.member import Member
from stainproof.logs import silenced_logger
from stainproof.progress import Track, silent
from stainproof.runs.artefact import Artefact
from stainproof.runs.ensemble import refuse_ensemble
from stainproof.runs.folder import RunFolder
from stainproof.runs.shipped import find_run, refuse_shipped

BATCH_SIZE = 32
CALIBRATION_IMAGES = 200
MAX_ACCURACY_LOSS = 0.002
"""Accuracy that quantisation may lose."""


class QuantisationResult(Artefact):
    """Accuracy and speed of the quantised network on this machine."""

    num_images: int
    """Images that both were evaluated on; none of them calibrated."""
    accuracy: float
    accuracy_int8: float
    times_faster: float
    kept: bool


def quantise(
    run: str | Path,
    source: str | Path,
    *,
    seed: int = 0,
    options: SourceConfig = sources.AS_GUESSED,
    track: Track = silent,
) -> QuantisationResult:
    """Quantise the network of a run to 8 bits, and keep it only if that pays.

    It is kept, for `--engine int8`, if it is at least 1.2 times as fast on this machine and loses
    less than 0.2 points of accuracy. 200 images of the source calibrate, the others measure.

    Args:
        run: The run folder.
        source: 400 labelled images or more, of the distribution that will be predicted.
        seed: Selects the images that calibrate, 0 or more.
        options: How the source is read.
        track: Shows progress.

    Raises:
        CheckpointError: The run folder cannot be used, or was trained on meanwhile.
        ConfigError: The seed is below 0.
        DataError: The source cannot be read, is too small, or has a class that the model does not
            know.
    """
    from stainproof.inference.onnx_metadata import add_metadata

    check_seed(seed)
    folder = RunFolder(find_run(run))
    refuse_ensemble(folder.path, "quantise its runs, then make it anew")
    refuse_shipped(folder.path, "quantise a run that was fine-tuned from it")
    folder.check_not_in_training()
    exact = Classifier.load(run, DEFAULT)
    data = sources.load(source, exact.preprocessing, options=options, track=track)
    if len(data) < 2 * CALIBRATION_IMAGES:
        raise DataError(
            f"{data.source}: needs {2 * CALIBRATION_IMAGES} images or more, got {len(data)}"
        )
    order = np.random.default_rng(seed).permutation(len(data))
    calibration, rest = np.split(order, [CALIBRATION_IMAGES])
    measured = data.subset(np.sort(rest))
    labels = measured.labels_in(exact.classes)
    with tempfile.TemporaryDirectory() as temporary:
        trial = RunFolder(temporary)
        shutil.copy(folder.onnx, trial.onnx)
        card = exact.members[0].card
        model = to_int8(trial.onnx, data.images[np.sort(calibration)])
        model = add_metadata(model, card.classes, card.preprocessing)
        int8_sha256 = trial.write_model(trial.int8, model)
        card = card.model_copy(update={"int8_sha256": int8_sha256})
        quantised = Classifier([Member(open_engine(INT8, trial, card), card, trial, INT8)])
        accuracy, accuracy_int8 = (
            float(np.mean(one.predict_dataset(measured, track).argmax(axis=1) == labels))
            for one in (exact, quantised)
        )
        faster = batch_seconds(DEFAULT, folder, card) / batch_seconds(INT8, trial, card)
        kept = faster >= MIN_SPEEDUP and accuracy - accuracy_int8 < MAX_ACCURACY_LOSS
        if kept:
            with folder.training_lock():
                now = folder.read_card()
                if (now.weights_sha256, now.onnx_sha256) != (card.weights_sha256, card.onnx_sha256):
                    raise CheckpointError(
                        f"{folder}: the network was replaced while it was quantised; repeat it"
                    )
                folder.write_model(folder.int8, trial.int8.read_bytes())
                folder.write_card(now.model_copy(update={"int8_sha256": int8_sha256}))
    return QuantisationResult(
        num_images=len(measured),
        accuracy=accuracy,
        accuracy_int8=accuracy_int8,
        times_faster=faster,
        kept=kept,
    )


def to_int8(model: Path, calibration: Images) -> bytes:
    """Return an ONNX model with 8-bit weights and activations.

    Weights are quantised per channel to 7 bits, so that sums of 8-bit products do not overflow on
    any CPU, and activations to 8 bits over the range seen on the calibration images (Jacob et al.
    2018, "Quantization and Training of Neural Networks", section 2; ONNX Runtime's static
    quantisation).

    Args:
        model: An ONNX file as `to_onnx` makes it.
        calibration: uint8 (n, size, size, 3), of the distribution that will be predicted.
    """
    from onnxruntime.quantization import QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with silenced_logger(), tempfile.TemporaryDirectory() as folder:
        prepared, quantised = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(model, prepared)
        quantize_static(
            prepared,
            quantised,
            _Calibration(calibration),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
        )
        return quantised.read_bytes()


class _Calibration:
    """Provides the calibration images in batches."""

    def __init__(self, images: Images):
        parts = np.array_split(images, -(-len(images) // BATCH_SIZE))
        self.batches: Iterator[NDArray[np.uint8]] = iter(parts)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """Return the next batch as the network's input; None at the end."""
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch}
