"""Export a run as one ONNX file that does everything itself: profile, network, calibration."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from stainproof import files
from stainproof.calibration.scaling import SMALLEST
from stainproof.config.data_schema import MAX_SIZE_PX
from stainproof.data.images import resizing_weights
from stainproof.errors import ConfigError
from stainproof.inference.classifier import Classifier
from stainproof.inference.onnx_metadata import add_metadata
from stainproof.progress import Say, silent_say
from stainproof.runs.shipped import find_run
from stainproof.shift.lab import Lab
from stainproof.shift.pixel_map import PixelMap, pixel_map

LAB_KEY = "laboratory_profile"
MIN_SIZE_PX = 16


def export_onnx(
    model: str | Path,
    out: str | Path,
    *,
    lab: Lab | str | Path | None = None,
    size_px: int | None = None,
    say: Say = silent_say,
) -> Path:
    """Write a run as one ONNX file that needs no other code: images to calibrated probabilities.

    Its input `images` is uint8 (n, size, size, 3), RGB; its output `probs` is float32 (n, classes),
    what `Classifier.load(model, lab=lab)` predicts for these images, to 1e-3. The metadata are
    those of `best.onnx` with the new size, and the entry `laboratory_profile`.

    Args:
        model: A run folder or the name of a shipped model; not an ensemble.
        out: The `.onnx` file to write.
        lab: A laboratory profile or its file, which becomes part of the graph.
        size_px: Height and width of its input, 16 to 1024; by default those of the network. That of
            the laboratory's files keeps the resolution of a zoom.
        say: Called with a line about what the profile changes.

    Raises:
        CheckpointError: The model or the profile cannot be used.
        ConfigError: The model is an ensemble, or standardises the white point of every image; or
            the size is out of range, or `out` is no `.onnx` file.
        DataError: `out` cannot be written.
    """
    path, folder = Path(out), find_run(model)
    if path.suffix.lower() != ".onnx":
        raise ConfigError(f"{path}: must be an .onnx file")
    if size_px is not None and not MIN_SIZE_PX <= size_px <= MAX_SIZE_PX:
        raise ConfigError(f"size must be {MIN_SIZE_PX} to {MAX_SIZE_PX} px, got {size_px}")
    classifier = Classifier.load(folder, "onnxruntime", lab=lab)
    if len(classifier.members) > 1:
        raise ConfigError(f"{folder}: an ensemble; export one of its runs")
    (member,) = classifier.members
    preprocessing, profile = member.card.preprocessing, classifier.lab
    if preprocessing.white_point:
        raise ConfigError(
            f"{folder}: standardises the white point of every image (preprocessing.white_point), "
            "which is not part of an exported graph"
        )
    side = size_px or preprocessing.size_px
    content = member.run.read_named(member.run.onnx, member.card.onnx_sha256)
    taken = preprocessing.model_copy(update={"size_px": side})
    proto = onnx.load_model_from_string(add_metadata(content, member.card.classes, taken))
    _prepend(proto.graph, pixel_map(profile or Lab(), side), side, preprocessing.size_px)
    _append_temperature(proto.graph, member.temperature)
    if profile:
        changes = {"scale", "white_point", "target_white_point", "trusted", "source"}
        note = proto.metadata_props.add()
        note.key, note.value = LAB_KEY, json.dumps(profile.model_dump(include=changes))
        say(f"the graph standardises images by the laboratory profile: {profile.describe()}")
    onnx.checker.check_model(proto)
    files.write_bytes(path, proto.SerializeToString(deterministic=True))
    return path


def _prepend(graph: onnx.GraphProto, change: PixelMap, side: int, size_px: int) -> None:
    """Put the zoom, the white point and the resizing before a network.

    Args:
        graph: Of a network whose input is `images`.
        change: On images of the new input's side.
        side: Height and width of the new input.
        size_px: Height and width of the network's input.
    """
    add = _Nodes(graph)
    value, new_side = "images", len(change.positions)
    if not np.array_equal(change.positions, np.arange(side)):
        positions = add.constant("positions", change.positions)
        value = add("Gather", [value, positions], axis=1)
        value = add("Gather", [value, positions], axis=2)
    if not np.array_equal(change.levels, np.arange(256)[:, None].repeat(3, axis=1)):
        # A value v of channel c is entry 3 v + c of the flat table.
        wide = add("Cast", [value], to=onnx.TensorProto.INT32)
        wide = add("Mul", [wide, add.constant("three", np.array(3, np.int32))])
        wide = add("Add", [wide, add.constant("channels", np.arange(3, dtype=np.int32))])
        value = add("Gather", [add.constant("levels", change.levels.ravel()), wide], axis=0)
    if new_side != size_px:
        weights = add.constant("weights", resizing_weights(new_side, size_px))
        value = add("Cast", [value], to=onnx.TensorProto.FLOAT)
        value = add("Einsum", [weights, value], equation="sh,nhwc->nswc")
        value = add("Einsum", [weights, value], equation="tw,nswc->nstc")
        if new_side == 2 * size_px:  # OpenCV rounds halves up there, elsewhere to even numbers
            value = add("Floor", [add("Add", [value, add.constant("half", np.float32(0.5))])])
        else:
            value = add("Round", [value])
        ends = [
            add.constant(name, np.float32(level)) for name, level in (("low", 0), ("high", 255))
        ]
        value = add("Cast", [add("Clip", [value, *ends])], to=onnx.TensorProto.UINT8)
    if value != "images":
        for node in graph.node:
            node.input[:] = [value if name == "images" else name for name in node.input]
        nodes = [*add.nodes, *graph.node]
        del graph.node[:]
        graph.node.extend(nodes)
    for axis in (1, 2):
        graph.input[0].type.tensor_type.shape.dim[axis].dim_value = side


def _append_temperature(graph: onnx.GraphProto, temperature: float) -> None:
    """Divide the logits of the output `probs` by a temperature, as `calibration.scaling.scale`."""
    if temperature == 1:
        return
    for node in graph.node:
        node.output[:] = ["uncalibrated" if name == "probs" else name for name in node.output]
        node.input[:] = ["uncalibrated" if name == "probs" else name for name in node.input]
    add = _Nodes(graph)
    value = add("Max", ["uncalibrated", add.constant("smallest", np.float32(SMALLEST))])
    value = add("Div", [add("Log", [value]), add.constant("temperature", np.float32(temperature))])
    graph.node.extend([*add.nodes, helper.make_node("Softmax", [value], ["probs"], axis=1)])


class _Nodes:
    """New nodes of a graph, each with one output."""

    def __init__(self, graph: onnx.GraphProto):
        self.graph = graph
        self.nodes: list[onnx.NodeProto] = []

    def __call__(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        output = f"standalone/{kind}_{len(self.graph.node)}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        """Add a constant; return its name."""
        full = f"standalone/{name}"
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value), full))
        return full
