"""The kept weights of a run as a file that needs neither torch nor this package."""

import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

from stainproof import files
from stainproof.config import InputContract
from stainproof.models.folding import FoldedNetwork
from stainproof.models.weights import load_network
from stainproof.quiet import quiet_log
from stainproof.results import ONNX_FILE, Card


def export_onnx(run: Path, card: Card) -> str:
    """Write `best.onnx` into a run folder, its classes in the order of the card.

    Args:
        run: The run folder, with weights and card.
        card: The card of the run.

    Returns:
        The SHA-256 of the file.

    Raises:
        CheckpointError: The weights are missing, damaged or of another network.
    """
    files.write_bytes(run / ONNX_FILE, to_onnx(load_network(run, card), card.input))
    return files.sha256_of(run / ONNX_FILE)


def to_onnx(network: nn.Module, contract: InputContract) -> bytes:
    """Return a network as an ONNX file.

    Its input `images` is uint8 (n, size, size, 3), RGB, of the size in the contract; its output
    `probs` is float32 (n, classes), rows sum to 1. The same weights give the same bytes.
    """
    size = contract.size_px
    images = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    with quiet_log("torch.onnx"), warnings.catch_warnings(action="ignore", category=FutureWarning):
        program = torch.onnx.export(
            FoldedNetwork(network, contract),
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
    """Drop what the exporter noted of this machine: source files and their lines."""
    del model.metadata_props[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    for part in (*model.graph.value_info, *model.graph.initializer):
        del part.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    return model
