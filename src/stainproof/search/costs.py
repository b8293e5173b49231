"""Cost of a network before training: parameters and latency."""

import time

import numpy as np

from stainproof.config.schema import Config
from stainproof.inference.engines import OnnxRuntimeEngine
from stainproof.inference.export import to_onnx
from stainproof.models.network import build_network, num_parameters

MEASURED_S, WARM_UP = 0.5, 5


def measure_costs(config: Config, num_classes: int) -> tuple[int, float]:
    """Return the number of parameters of a run's network and its latency in milliseconds.

    The latency is that of one image on one thread with ONNX Runtime on this machine: the shortest
    of many predictions, because load makes predictions longer and never shorter.

    Raises:
        ConfigError: The network cannot be built.
    """
    network = build_network(config, num_classes)
    engine = OnnxRuntimeEngine(to_onnx(network, config.preprocessing), threads=1)
    shape = (1, config.preprocessing.size_px, config.preprocessing.size_px, 3)
    images = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    for _ in range(WARM_UP):
        engine(images)
    seconds: list[float] = []
    while sum(seconds) < MEASURED_S:
        began = time.perf_counter()
        engine(images)
        seconds.append(time.perf_counter() - began)
    return num_parameters(network), round(1000 * min(seconds), 3)
