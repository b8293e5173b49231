"""Penultimate features of a network: its ONNX model, cut before the last linear layer."""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stainproof.data.images import Images
from stainproof.errors import CheckpointError
from stainproof.machine import num_cores
from stainproof.runs.card import Card
from stainproof.runs.folder import RunFolder

if TYPE_CHECKING:
    import onnx

IN_CACHE = 8
"""Images that a thread computes at once, as in `engines.OnnxRuntimeEngine`."""
Floats = NDArray[np.float32]


class FeatureExtractor:
    """Computes the input of the last linear layer with ONNX Runtime.

    The ONNX model ends with a linear layer (`Gemm`) and a softmax, so its existing file is enough:
    the graph is cut before that layer, and the layer's weights are read from it.
    """

    def __init__(self, run: RunFolder, card: Card, threads: int | None = None):
        """Cut the ONNX model of a run.

        Args:
            run: The run folder.
            card: Its card.
            threads: By default one per core.

        Raises:
            CheckpointError: The model is missing, was altered, or does not end with a linear layer.
        """
        import onnx
        import onnxruntime

        if not card.onnx_sha256:
            raise CheckpointError(f"{run.onnx}: not made yet; resume the run")
        try:
            model = onnx.load_model_from_string(run.read_named(run.onnx, card.onnx_sha256))
            features, self.weight, self.bias = _cut(model)
        except CheckpointError:
            raise
        except Exception as error:  # protobuf and numpy raise several types for a damaged model
            raise CheckpointError(
                f"{run.onnx}: does not end with a linear layer and a softmax, so it has no features"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.output = features
        self.num_threads = threads or num_cores()
        self.pool = ThreadPoolExecutor(self.num_threads)

    def __call__(self, images: Images) -> Floats:
        """Map uint8 (b, size, size, 3) to features float32 (b, d)."""
        size = min(IN_CACHE, math.ceil(len(images) / self.num_threads))
        parts = [images[start : start + size] for start in range(0, len(images), size)]
        return np.concatenate(list(self.pool.map(self._answer, parts)))

    def logits(self, features: Floats) -> Floats:
        """Map features float32 (n, d) to logits float32 (n, classes), in the order of the card."""
        return features @ self.weight.T + self.bias

    def _answer(self, images: Images) -> Floats:
        (features,) = self.session.run([self.output], {"images": images})
        return np.asarray(features)


def _cut(model: "onnx.ModelProto") -> tuple[str, Floats, Floats]:
    """Make the input of the last linear layer the model's only output.

    Returns:
        Its name, the weight float32 (classes, d) and the bias float32 (classes,) of the layer.

    Raises:
        ValueError: The model does not end with a linear layer and a softmax.
    """
    from onnx import TensorProto, helper, numpy_helper

    made_by = {name: node for node in model.graph.node for name in node.output}
    softmax = made_by[model.graph.output[0].name]
    linear = made_by[softmax.input[0]]
    values = {one.name: one for one in model.graph.initializer}
    attributes = {one.name: helper.get_attribute_value(one) for one in linear.attribute}
    if (softmax.op_type, linear.op_type) != ("Softmax", "Gemm") or attributes.get("transA", 0):
        raise ValueError("another end")
    weight, bias = (numpy_helper.to_array(values[name]) for name in linear.input[1:3])
    if not attributes.get("transB", 0):
        weight = weight.T
    alpha, beta = attributes.get("alpha", 1.0), attributes.get("beta", 1.0)
    features = helper.make_tensor_value_info(
        linear.input[0], TensorProto.FLOAT, ["n", weight.shape[1]]
    )
    del model.graph.output[:]
    model.graph.output.append(features)
    for node in (softmax, linear):
        model.graph.node.remove(node)
    return features.name, (alpha * weight).astype(np.float32), (beta * bias).astype(np.float32)
