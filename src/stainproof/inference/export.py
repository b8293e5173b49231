"""Export of a network as an ONNX model that needs neither PyTorch nor this package."""

import warnings

import onnx
import torch
from torch import nn

from stainproof.config.schema import Preprocessing
from stainproof.inference.folding import FoldedNetwork
from stainproof.inference.half_weights import with_half_weights
from stainproof.logs import silenced_logger


def to_onnx(
    network: nn.Module, preprocessing: Preprocessing, *, half_weights: bool = False
) -> bytes:
    """Return a network as an ONNX model.

    Its input `images` is uint8 (n, size, size, 3), RGB, of the preprocessing's size; its output
    `probs` is float32 (n, classes), rows sum to 1. The same weights give the same bytes.

    Args:
        network: Its weights are not modified.
        preprocessing: Of the run.
        half_weights: Whether weights with two or more dimensions are stored in float16, see
            `half_weights.with_half_weights`.
    """
    size = preprocessing.size_px
    folded: nn.Module = FoldedNetwork(network, preprocessing)
    if half_weights:
        folded = with_half_weights(folded)
    images = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    with (
        silenced_logger("torch.onnx"),
        warnings.catch_warnings(action="ignore", category=FutureWarning),
    ):
        program = torch.onnx.export(
            folded,
            (images,),
            dynamo=True,
            verbose=False,
            input_names=["images"],
            output_names=["probs"],
            dynamic_shapes={"images": {0: torch.export.Dim("n", min=1)}},
        )
    assert program is not None
    model = _without_notes(program.model_proto)
    return bytes(model.SerializeToString(deterministic=True))


def _without_notes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove the exporter's notes about this machine: source files and lines."""
    del model.metadata_props[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    for part in (*model.graph.value_info, *model.graph.initializer):
        del part.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    return model
