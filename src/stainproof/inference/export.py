"""Export of a network as an ONNX model that needs neither PyTorch nor this package."""

import warnings

import onnx
import torch
from torch import nn

from stainproof.config.schema import Preprocessing
from stainproof.inference.folding import FoldedNetwork
from stainproof.logs import silenced_logger


def to_onnx(network: nn.Module, preprocessing: Preprocessing) -> bytes:
    """Return a network as an ONNX model.

    Its input `images` is uint8 (n, size, size, 3), RGB, of the preprocessing's size; its output
    `probs` is float32 (n, classes), rows sum to 1. The same weights give the same bytes.
    """
    size = preprocessing.size_px
    images = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    with (
        silenced_logger("torch.onnx"),
        warnings.catch_warnings(action="ignore", category=FutureWarning),
    ):
        program = torch.onnx.export(
            FoldedNetwork(network, preprocessing),
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
