"""Hostile run folders: every command ends with one line and exit code 2, or is right."""

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file, save_file

from stainproof import api
from stainproof.evaluation.result import Evaluation
from stainproof.files import MAX_TEXT_BYTES, sha256_of
from tests.common.command import run_command
from tests.common.tiny import tiny_config

Mutation = Callable[[Path], Any]


@pytest.fixture(scope="module")
def run(shared_cell_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch with an evaluation; tests only read it."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    api.train(shared_cell_folder, folder, tiny_config("training.epochs=1", "augment.recipe=none"))
    return folder


@pytest.fixture(scope="module")
def expected(run: Path, shared_cell_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The labels of the intact run and its accuracy."""
    folder = tmp_path_factory.mktemp("expected")
    api.predict(run, [str(shared_cell_folder)], folder / "out.csv")
    result = api.evaluate(run, shared_cell_folder, folder / "eval")
    return labels_in(folder / "out.csv"), result.accuracy.value


def labels_in(table: Path) -> list[str]:
    with table.open(newline="") as file:
        return [row["label"] for row in csv.DictReader(file)]


def edit(name: str, change: Callable[[Any], Any]) -> Mutation:
    """Change a JSON file: the last line of the history, or a whole file."""

    def mutate(run: Path) -> None:
        *lines, last = (run / name).read_text().splitlines() if "jsonl" in name else [
            (run / name).read_text()
        ]  # fmt: skip
        tree = json.loads(last)
        changed = change(tree)
        text = json.dumps(tree if changed is None else changed)
        (run / name).write_text("\n".join([*lines, text]) + "\n")

    return mutate


def put(name: str, **values: Any) -> Mutation:
    """Set keys of a JSON file; `a__b` is the key `b` in the object `a`."""

    def change(tree: Any) -> None:
        for key, value in values.items():
            *groups, last = key.split("__")
            branch = tree
            for group in groups:
                branch = branch[group]
            branch[last] = value

    return edit(name, change)


def drop(name: str, key: str) -> Mutation:
    return edit(name, lambda tree: tree.pop(key) and None)


def write(name: str, content: bytes | str) -> Mutation:
    data = content.encode() if isinstance(content, str) else content
    return lambda run: (run / name).write_bytes(data)


def link(name: str, target: str) -> Mutation:
    def mutate(run: Path) -> None:
        (run / name).unlink()
        (run / name).symlink_to(target)

    return mutate


def pipe(name: str) -> Mutation:
    def mutate(run: Path) -> None:
        (run / name).unlink()
        os.mkfifo(run / name)

    return mutate


def folder(name: str) -> Mutation:
    def mutate(run: Path) -> None:
        (run / name).unlink()
        (run / name).mkdir()

    return mutate


def large(name: str, num_bytes: int = MAX_TEXT_BYTES + 1) -> Mutation:
    return lambda run: os.truncate(run / name, num_bytes)


def rename_class(name: str) -> Mutation:
    """Rename the first class in the card, everywhere."""

    def change(tree: Any) -> None:
        old, tree["classes"][0] = tree["classes"][0], name
        for counts in tree["data"]["class_counts"].values():
            counts[name] = counts.pop(old)

    return edit("card.json", change)


def weights(change: Callable[[dict[str, Any]], Any]) -> Mutation:
    """Change the weights, and name them in the card."""

    def mutate(run: Path) -> None:
        path = run / "best.safetensors"
        tensors = load_file(path)
        save_file(change(tensors) or tensors, path)
        put("card.json", weights_sha256=sha256_of(path))(run)

    return mutate


def raw_weights(content: bytes) -> Mutation:
    def mutate(run: Path) -> None:
        (run / "best.safetensors").write_bytes(content)
        put("card.json", weights_sha256=sha256_of(run / "best.safetensors"))(run)

    return mutate


def model(make: Callable[[Path], onnx.ModelProto | bytes]) -> Mutation:
    """Replace the ONNX model, and name it in the card."""

    def mutate(run: Path) -> None:
        made = make(run / "best.onnx")
        content = made if isinstance(made, bytes) else made.SerializeToString()
        (run / "best.onnx").write_bytes(content)
        put("card.json", onnx_sha256=sha256_of(run / "best.onnx"), engine="onnxruntime")(run)

    return mutate


def constant(values: list[float], num: int | None = None, kind: int = TensorProto.FLOAT) -> Any:
    """Make a model that gives each image the same probabilities, or `num` rows."""

    def make(path: Path) -> onnx.ModelProto:
        row = numpy_helper.from_array(np.array([values], np.float32), "row")
        nodes = [
            helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["floats", "axes"], ["sums"], keepdims=0),
            helper.make_node("Mul", ["sums", "zero"], ["zeros"]),
            helper.make_node("Unsqueeze", ["zeros", "last"], ["column"]),
            helper.make_node("Add", ["column", "row"], ["sum"]),
            helper.make_node("Cast", ["sum"], ["whole"], to=kind),
        ]
        constants = [
            row,
            numpy_helper.from_array(np.array([1, 2, 3]), "axes"),
            numpy_helper.from_array(np.array([1]), "last"),
            numpy_helper.from_array(np.array(0, np.float32), "zero"),
        ]
        answer = "whole"
        if num is not None:
            constants.append(numpy_helper.from_array(np.array([num, len(values)]), "shape"))
            nodes = [helper.make_node("Expand", ["row", "shape"], ["whole"])]
        graph = helper.make_graph(
            nodes,
            "constant",
            [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 32, 32, 3])],
            [helper.make_tensor_value_info(answer, kind, ["n", len(values)])],
            constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    return model(make)


def first_nan(tensors: dict[str, Any]) -> None:
    for key in tensors:
        if tensors[key].dtype == np.float32:
            tensors[key].flat[0] = np.nan


CARD, EVAL = "card.json", "home/val/eval.json"
DEEP = "[" * 100_000
HEADER = b'{"w":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'

MUTATIONS: dict[str, Mutation] = {
    # card
    "card: empty": write(CARD, b""),
    "card: a list": write(CARD, "[]"),
    "card: null": write(CARD, "null"),
    "card: not UTF-8": write(CARD, b"\xff\xfe"),
    "card: nested deeply": write(CARD, DEEP),
    "card: a number of 5000 digits": write(CARD, '{"seed": ' + "9" * 5000 + "}"),
    "card: device": link(CARD, "/dev/zero"),
    "card: pipe": pipe(CARD),
    "card: folder": folder(CARD),
    "card: link to itself": link(CARD, "card.json"),
    "card: large": large(CARD),
    "card: missing": lambda run: (run / CARD).unlink(),
    "card: no classes": put(CARD, classes=[]),
    "card: a class twice": edit(CARD, lambda t: t["classes"].__setitem__(1, t["classes"][0])),
    "card: class label": rename_class("label"),
    "card: class error": rename_class("error"),
    "card: class outside": rename_class("../.."),
    "card: class absolute": rename_class("/tmp/x"),
    "card: class empty": rename_class(""),
    "card: class with NUL": rename_class("a\0b"),
    "card: class of 100000 letters": rename_class("a" * 100_000),
    "card: classes are numbers": put(CARD, classes=[1, 2, 3]),
    "card: one class less": edit(CARD, lambda t: t["classes"].pop() and None),
    "card: a billion filters": put(CARD, network__stem=[10**9, 10**9]),
    "card: many parameters": put(CARD, network__stem=[65000, 65000], network__stages=[64000]),
    "card: a million stages": put(CARD, network__stem=[8] * 1_000_000),
    "card: no stages": put(CARD, network__stem=[], network__stages=[]),
    "card: negative filters": put(CARD, network__stem=[-8, 16]),
    "card: other filters": put(CARD, network__stem=[8, 32]),
    "card: many blocks": put(CARD, network__blocks=10**6),
    "card: unknown backbone": put(
        CARD, network={"backbone": "no-such-network"}, weights_sha256="0" * 64
    ),
    "card: another size": put(CARD, preprocessing__size_px=64),
    "card: huge size": put(CARD, preprocessing__size_px=10**9),
    "card: NaN mean": put(CARD, preprocessing__mean=[float("nan")] * 3),
    "card: zero deviation": put(CARD, preprocessing__std=[0.0, 1.0, 1.0]),
    "card: unknown fit": put(CARD, preprocessing__fit="squeeze"),
    "card: unknown engine": put(CARD, engine="rm -rf"),
    "card: no hash": drop(CARD, "weights_sha256"),
    "card: hash of other weights": put(CARD, weights_sha256="0" * 64, onnx_sha256="0" * 64),
    "card: no best epoch": drop(CARD, "best"),
    "card: best epoch beyond the last": put(CARD, best__epoch=7),
    "card: NaN accuracy": put(CARD, best__val_accuracy=float("nan")),
    "card: no epochs": put(CARD, num_epochs=0),
    "card: counts of other classes": put(CARD, data__class_counts={"train": {"x": 1}}),
    "card: no counts": put(CARD, data__class_counts={}),
    "card: unknown key": put(CARD, more=1),
    "card: version 10**400": put(CARD, schema_version=10**400),
    # weights
    "weights: missing": lambda run: (run / "best.safetensors").unlink(),
    "weights: empty": raw_weights(b""),
    "weights: header of 2**60 bytes": raw_weights((2**60).to_bytes(8, "little") + b"{}"),
    "weights: offsets beyond the end": raw_weights(len(HEADER).to_bytes(8, "little") + HEADER),
    "weights: NaN": weights(first_nan),
    "weights: one missing": weights(lambda tensors: dict(list(tensors.items())[1:])),
    "weights: other shapes": weights(lambda tensors: {k: v[None] for k, v in tensors.items()}),
    "weights: one more": weights(lambda tensors: tensors | {"more": np.zeros(3, np.float32)}),
    "weights: device": link("best.safetensors", "/dev/zero"),
    "weights: pipe": pipe("best.safetensors"),
    # ONNX
    "onnx: missing": lambda run: (run / "best.onnx").unlink(),
    "onnx: empty": model(lambda path: b""),
    "onnx: text": model(lambda path: b"hello"),
    "onnx: cut": model(lambda path: path.read_bytes()[:5000]),
    "onnx: NaN": constant([float("nan")] * 3),
    "onnx: infinity": constant([float("inf"), 0.0, 0.0]),
    "onnx: negative": constant([-1.0, 1.0, 1.0]),
    "onnx: sums to 2": constant([1.0, 0.5, 0.5]),
    "onnx: zeros": constant([0.0, 0.0, 0.0]),
    "onnx: other classes": constant([0.5, 0.5]),
    "onnx: another number of images": constant([1.0, 0.0, 0.0], num=2),
    "onnx: doubles": constant([1.0, 0.0, 0.0], kind=TensorProto.DOUBLE),
    "onnx: device": link("best.onnx", "/dev/zero"),
    "onnx: pipe": pipe("best.onnx"),
    # history and settings
    "history: empty": write("history.jsonl", b""),
    "history: device": link("history.jsonl", "/dev/zero"),
    "history: large": large("history.jsonl"),
    "history: nested deeply": write("history.jsonl", DEEP),
    "history: list": write("history.jsonl", "[1]\n"),
    "history: NaN": put("history.jsonl", loss=float("nan"), val_loss=float("nan")),
    "history: 1e308": put("history.jsonl", loss=1e308, val_loss=-1e308, learning_rate=1e308),
    "history: endless": put("history.jsonl", elapsed_s=float("inf"), images_per_s=float("nan")),
    "config: nested deeply": write("config.toml", "a = " + DEEP),
    "config: device": link("config.toml", "/dev/zero"),
    "config: pipe": pipe("config.toml"),
    "config: large": large("config.toml"),
    "config: no UTF-8": write("config.toml", b"\xff"),
    "config: version 2 without groups": write("config.toml", "input = 1\naugment = 2\n"),
    "config: a number of 5000 digits": write("config.toml", "seed = " + "9" * 5000),
    # evaluations, pictures, hashes, split, manifest
    "eval: no images": put(EVAL, num_images=0),
    "eval: empty": write(EVAL, b""),
    "eval: device": link(EVAL, "/dev/zero"),
    "eval: no classes": put(EVAL, classes=[], per_class=[]),
    "eval: confusion too small": put(EVAL, confusion=[[1]]),
    "eval: negative counts": edit(EVAL, lambda t: t["confusion"][0].__setitem__(0, -5)),
    "eval: NaN accuracy": put(EVAL, accuracy={"value": float("nan"), "low": 0, "high": 1}),
    "eval: picture outside": put(
        EVAL,
        mistakes=[{"name": "a", "true": "b", "predicted": "c", "confidence": 1, "picture": "../x"}],
    ),
    "eval: picture missing": put(
        EVAL,
        mistakes=[
            {"name": "a", "true": "b", "predicted": "c", "confidence": 1, "picture": "98.png"}
        ],
    ),
    "eval: infinite bins": put(
        EVAL, reliability=[{"confidence": float("inf"), "accuracy": 2e300, "num_images": -4}]
    ),
    "examples: pipe": lambda run: os.mkfifo(next((run / "examples").iterdir()) / "9.png"),
    "examples: text": lambda run: next(run.glob("examples/*/*.png")).write_text("hello"),
    "examples: cut": lambda run: os.truncate(next(run.glob("examples/*/*.png")), 60),
    "hashes: device": link("training_hashes.npy", "/dev/zero"),
    "hashes: text": write("training_hashes.npy", "hello"),
    "hashes: huge shape": write(
        "training_hashes.npy",
        b"\x93NUMPY\x01\x00\x76\x00"
        + b"{'descr': '<u8', 'fortran_order': False, 'shape': (999999999999999,), }".ljust(117)
        + b"\n",
    ),
    "splits: device": link("splits.csv", "/dev/zero"),
    "manifest: empty": write("manifest.json", b""),
    "manifest: device": link("manifest.json", "/dev/zero"),
    "manifest: list": write("manifest.json", "[]"),
    "manifest: file outside": write(
        "manifest.json", '{"files": {"../../../../etc/passwd": ["00"], "/dev/zero": ["00"]}}'
    ),
    "lock: folder": lambda run: (run / ".training.lock").mkdir(),
    "ensemble of itself": write("ensemble.json", '{"voting": "soft", "members": ["0-a", "1-b"]}'),
}
COMMANDS = ("predict", "predict torch", "evaluate", "report", "verify")


def pairs() -> Iterator[Any]:
    """Every mutation with every command: with `predict` in the fast suite, with one more in turn in
    the slow suite, with the others in the campaign.
    """
    first, *others = COMMANDS
    for number, name in enumerate(MUTATIONS):
        yield pytest.param(name, first)
        in_turn = others[number % len(others)]
        for other in others:
            mark = pytest.mark.slow if other == in_turn else pytest.mark.campaign
            yield pytest.param(name, other, marks=mark)


@pytest.mark.parametrize(("name", "command"), list(pairs()))
def test_a_hostile_run_folder_ends_in_one_line_or_is_right(
    name: str,
    command: str,
    run: Path,
    expected: Any,
    shared_cell_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    hostile = shutil.copytree(run, tmp_path / "run")
    if not name.startswith("manifest"):
        (hostile / "manifest.json").unlink()  # the deeper checks are tested
    MUTATIONS[name](hostile)
    out = tmp_path / ("out.csv" if "predict" in command else "eval")
    arguments = {
        "predict": ["predict", hostile, shared_cell_folder, "--out", out],
        "predict torch": [
            "predict", hostile, shared_cell_folder, "--out", out, "--engine", "torch",
        ],
        "evaluate": ["evaluate", hostile, shared_cell_folder, "--out", out],
        "report": ["report", hostile],
        "verify": ["verify", hostile],
    }[command]  # fmt: skip
    code, said = call(monkeypatch, capfd, *arguments)
    if code == 2:
        assert len(said) < 2000
        return
    assert code == 0 or command == "verify"
    if "predict" in command:
        assert labels_in(out) == expected[0]
    if command == "evaluate":
        assert Evaluation.read(out / "eval.json").accuracy.value == expected[1]


def call(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: Any
) -> tuple[int, str]:
    """Run a command; return its exit code and, if that is 2, the one line that it says."""
    done = run_command(monkeypatch, capfd, *arguments)
    code, out, err = done.code, done.out, done.err
    assert code in (0, 1, 2)
    if code == 2:
        assert out == "" and len(err.splitlines()) == 1 and err.startswith("stainproof: "), err
    return code, err


def test_there_are_enough_hostile_folders() -> None:
    assert len(MUTATIONS) >= 60


HASHED = [
    "best.onnx", "best.safetensors", "card.json", "config.toml", "history.jsonl",
    "last.safetensors", "splits.csv", "state.safetensors", "training_hashes.npy",
]  # fmt: skip
READ_BY = {
    "predict": {"card.json", "best.onnx"},
    "evaluate": {"card.json", "best.onnx", "training_hashes.npy"},
    "report": {"card.json", "config.toml", "history.jsonl"},
    "resume": {
        "best.safetensors",
        "card.json",
        "history.jsonl",
        "splits.csv",
        "state.safetensors",
    },
}


def flip(path: Path) -> None:
    """Change one byte in the middle of a file so that it stays of its kind."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("name", HASHED)
def test_a_flipped_bit_is_noticed_by_verify_and_by_every_command_that_reads_the_file(
    name: str,
    run: Path,
    shared_cell_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    altered = shutil.copytree(run, tmp_path / "run")
    flip(altered / name)
    assert call(monkeypatch, capfd, "verify", altered)[0] == 1
    commands = {
        "predict": ["predict", altered, shared_cell_folder, "--out", tmp_path / "o.csv"],
        "evaluate": ["evaluate", altered, shared_cell_folder, "--out", tmp_path / "eval"],
        "report": ["report", altered],
    }
    for command, arguments in commands.items():
        code, said = call(monkeypatch, capfd, *arguments)
        assert (code == 2) == (name in READ_BY[command]), (command, said)
    if name in READ_BY["resume"]:
        settings = tiny_config("training.epochs=2", "augment.recipe=none")
        with pytest.raises(Exception, match=f"{name}: (altered|the run was begun on other)"):
            api.train(shared_cell_folder, altered, settings, resume=True)


def test_classes_in_another_order_are_refused(
    run: Path, shared_cell_folder: Path, tmp_path: Path
) -> None:
    altered = shutil.copytree(run, tmp_path / "run")
    edit(CARD, lambda tree: tree["classes"].reverse())(altered)
    with pytest.raises(Exception, match=r"card\.json: altered; its SHA-256 is not the one in"):
        api.predict(altered, [str(shared_cell_folder)], tmp_path / "out.csv")
