"""The ONNX file of a run with 8-bit weights and activations."""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from stainproof import files
from stainproof.data.images import Images
from stainproof.results import INT8_FILE, ONNX_FILE

BATCH_SIZE = 32


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
    log = logging.getLogger()
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with (
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
    finally:
        log.setLevel(before)
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
