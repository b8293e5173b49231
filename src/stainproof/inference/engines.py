"""Inference engines: ONNX Runtime, OpenVINO, PyTorch and int8, with one interface.

ONNX Runtime and OpenVINO send usage data and write an identifier to the home folder as soon as they
are imported. This module turns that off; whatever imports them must import this module before.
"""

import math
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stainproof.config.parsing import check_known
from stainproof.data.images import Images
from stainproof.errors import CheckpointError, ConfigError
from stainproof.machine import num_cores
from stainproof.runs.card import Card
from stainproof.runs.folder import RunFolder

DEFAULT, INT8 = "onnxruntime", "int8"
EXACT = (DEFAULT, "openvino", "torch")
"""Engines whose probabilities agree to 1e-4."""
ENGINES = (*EXACT, INT8)
"""All engines; `int8` is ONNX Runtime with the quantised model."""
IN_CACHE = 8
"""Images that a thread computes at once, so that a layer's activations stay in the cache."""
MAX_SUM_ERROR = 1e-3
"""How far the probabilities of one image may be from a sum of 1, in float32."""
MIN_SPEEDUP = 1.2
"""Speed-up from which another engine is preferred to the default."""

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # openvino: its stub


class Engine(Protocol):
    """Maps a batch of images to probabilities."""

    def __call__(self, images: Images) -> NDArray[np.float32]:
        """Map uint8 (b, size, size, 3), b at least 1, to probabilities (b, classes)."""


def check_probabilities(
    probs: NDArray[np.float32], shape: tuple[int, int], max_sum_error: float
) -> None:
    """Check that an engine's answer is one.

    Args:
        probs: The answer.
        shape: Numbers of images and classes.
        max_sum_error: How far the sum of a row may be from 1.

    Raises:
        ValueError: The answer has another shape, or a row that is no distribution.
    """
    if probs.shape != shape or probs.dtype != np.float32:
        raise ValueError(
            f"must be float32 {shape}, got {probs.dtype} {tuple(map(int, probs.shape))}"
        )
    if not np.isfinite(probs).all():
        raise ValueError("must be finite, got NaN or infinity")
    if probs.min() < -MAX_SUM_ERROR:
        raise ValueError(f"must be 0 or more, got {probs.min():g}")
    sums = probs.sum(axis=1, dtype=np.float64)
    worst = sums[np.abs(sums - 1).argmax()]
    if abs(worst - 1) > max_sum_error:
        raise ValueError(f"of one image must sum to 1, got {worst:g}")


class OnnxRuntimeEngine:
    """ONNX Runtime with a few images per thread; a single image is computed on one thread.

    Threads that share one image would wait for each other after every layer, which takes longer
    than the layers of a small network.
    """

    def __init__(self, model: bytes, threads: int | None = None):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        (given,), (answered,) = self.session.get_inputs(), self.session.get_outputs()
        self.size_px, self.num_classes = given.shape[1], answered.shape[1]
        self.num_threads = threads or num_cores()
        self.pool = ThreadPoolExecutor(self.num_threads)

    def __call__(self, images: Images) -> NDArray[np.float32]:
        """Map uint8 (b, size, size, 3) to probabilities float32 (b, classes)."""
        size = min(IN_CACHE, math.ceil(len(images) / self.num_threads))
        parts = [images[start : start + size] for start in range(0, len(images), size)]
        if len(parts) == 1:
            return self._answer(images)
        return np.concatenate(list(self.pool.map(self._answer, parts)))

    def _answer(self, images: Images) -> NDArray[np.float32]:
        (probs,) = self.session.run(None, {"images": images})
        return np.asarray(probs)


class OpenVinoEngine:
    """OpenVINO in float32."""

    def __init__(self, model: bytes, threads: int | None = None):
        import openvino

        core = openvino.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads or num_cores(),
        }
        compiled = core.compile_model(core.read_model(model), "CPU", settings)
        self.request = compiled.create_infer_request()
        shapes = compiled.input(0).partial_shape, compiled.output(0).partial_shape
        self.size_px, self.num_classes = (shape[1].get_length() for shape in shapes)

    def __call__(self, images: Images) -> NDArray[np.float32]:
        """Map uint8 (b, size, size, 3) to probabilities float32 (b, classes)."""
        (probs,) = self.request.infer([images]).values()
        return np.array(probs)


class TorchEngine:
    """PyTorch with folded batch normalisation."""

    def __init__(self, run: RunFolder, card: Card):
        from stainproof.inference.folding import FoldedNetwork
        from stainproof.models.weights import load_network

        self.network = FoldedNetwork(load_network(run, card), card.preprocessing)

    def __call__(self, images: Images) -> NDArray[np.float32]:
        """Map uint8 (b, size, size, 3) to probabilities float32 (b, classes)."""
        import torch

        with torch.inference_mode():
            probs: NDArray[np.float32] = self.network(torch.from_numpy(images)).numpy()
        return probs


def open_engine(name: str, run: RunFolder, card: Card, threads: int | None = None) -> Engine:
    """Open the network of a run folder in an engine.

    Args:
        name: Name in `ENGINES`.
        run: The run folder.
        card: Its card.
        threads: By default one per core; `torch` uses those of the process.

    Raises:
        ConfigError: The engine is unknown or not installed.
        CheckpointError: Its file is missing, was altered or belongs to another network.
    """
    check_known(name, ENGINES, "engine")
    if name not in installed():
        here = ", ".join(installed())
        raise ConfigError(
            f"engine {name!r} is not installed: pip install {name}; installed: {here}"
        )
    if name == "torch":
        return TorchEngine(run, card)
    if name == INT8:
        path, sha256, hint = run.int8, card.int8_sha256, "make it with stainproof quantise"
    else:
        path, sha256, hint = run.onnx, card.onnx_sha256, "resume the run, or use --engine torch"
    if not sha256:
        raise CheckpointError(f"{path}: not made yet; {hint}")
    model = run.read_named(path, sha256)
    try:
        kind = OpenVinoEngine if name == "openvino" else OnnxRuntimeEngine
        engine: OpenVinoEngine | OnnxRuntimeEngine = kind(model, threads)
    except Exception as error:  # both engines raise their own exception types for an invalid file
        raise CheckpointError(f"{path}: not a network that {name} can read") from error
    if (engine.size_px, engine.num_classes) != (card.preprocessing.size_px, len(card.classes)):
        raise CheckpointError(f"{path}: made for another network")
    return engine


def installed() -> tuple[str, ...]:
    """Return the names of the installed engines."""
    return tuple(name for name in ENGINES if find_spec(DEFAULT if name == INT8 else name))


def choose_engine(run: RunFolder, card: Card) -> str:
    """Return the default engine, or an exact one that is clearly faster on this machine.

    Never `torch` for a backbone, because the run folder would then need timm on every machine.
    """
    away = ("torch",) if card.network.backbone else ()
    others = [name for name in EXACT if name in installed() and name not in (DEFAULT, *away)]
    seconds = {DEFAULT: batch_seconds(DEFAULT, run, card)}
    for name in others:
        with suppress(CheckpointError, RuntimeError):  # the engine does not support this network
            seconds[name] = batch_seconds(name, run, card)
    fastest = min(seconds, key=seconds.__getitem__)
    return fastest if seconds[fastest] * MIN_SPEEDUP < seconds[DEFAULT] else DEFAULT


def batch_seconds(name: str, run: RunFolder, card: Card, size: int = 64) -> float:
    """Return the shortest of three inference times of a batch of noise in seconds."""
    shape = (size, card.preprocessing.size_px, card.preprocessing.size_px, 3)
    images = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    engine = open_engine(name, run, card)
    engine(images)
    return min(_seconds(engine, images) for _ in range(3))


def _seconds(engine: Engine, images: Images) -> float:
    began = time.perf_counter()
    engine(images)
    return time.perf_counter() - began
