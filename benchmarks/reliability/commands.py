"""The commands that are killed, each in a folder of its own, and what their results are."""

import hashlib
import json
import math
import os
import signal
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from PIL import Image
from safetensors.numpy import load_file

from stainproof import api
from stainproof.config.presets import make_config
from stainproof.errors import StainproofError
from stainproof.evaluation import evaluator  # noqa: F401  (loaded before processes are forked)
from stainproof.evaluation.result import Evaluation
from stainproof.inference import engines, export, int8  # noqa: F401
from stainproof.inference.classifier import Classifier
from stainproof.reports import run_report  # noqa: F401
from stainproof.runs.manifest import MANIFEST_FILE
from stainproof.search.run import search
from stainproof.synthetic.fields import draw_field
from stainproof.training import loop, weight_averaging  # noqa: F401

CONFIG = make_config(
    assignments=(
        "preprocessing.size_px=32", "network.stem=[8,16]", "network.stages=[24]",
        "network.blocks=1", "augment.recipe=d4", "training.epochs=2", "training.batch_size=16",
        "training.threads=1", "training.precision=float32", "training.keep_every_epoch=true",
    )
)  # fmt: skip
SHIPPED = "stainproof-light"
ENDINGS = {".html": b"</html>", ".csv": b"\n"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
"""Audit events of operations that change a folder, besides opening a file to write."""
VARYING = {
    "provenance", "images_per_s", "seconds", "elapsed_s", "augmenting_s", "picture", "onnx_sha256",
    "calibration_sha256", "engine",
}  # fmt: skip
"""Fields of results that differ each time: when, how fast, the fastest engine, numbers of pictures.
The ONNX model and the calibration themselves are compared."""


def _use_the_default_engine() -> None:
    """Which engine is the fastest can differ each time, and with it the last digits."""
    vars(engines).update(MIN_SPEEDUP=math.inf)


def prepare(inputs: Path) -> None:
    """Make what the commands read: cells, their audit, two runs, an earlier evaluation."""
    _use_the_default_engine()
    api.make_phantoms(inputs / "cells", 48, seed=1, size_px=32)
    api.make_phantoms(inputs / "many", 400, seed=2, size_px=32)
    api.make_phantoms(inputs / "few", 8, seed=4)
    field, _ = draw_field(np.random.default_rng(5), ("neutrophil", "monocyte", "platelet"))
    Image.fromarray(field).save(inputs / "field.png")
    api.audit(inputs / "cells", inputs / "audit")
    for name in ("run", "other-run"):
        api.train(inputs / "cells", inputs / name, CONFIG)
    api.evaluate(inputs / "run", inputs / "many", seed=1)


def _quantise(inputs: Path, place: Path) -> None:
    vars(int8).update(MIN_SPEEDUP=0.0, MAX_ACCURACY_LOSS=1.0)  # always kept
    api.quantise(place / "run", inputs / "many")


COMMANDS: dict[str, Callable[[Path, Path], object]] = {
    "train": lambda inputs, place: api.train(inputs / "cells", place / "run", CONFIG),
    "evaluate": lambda inputs, place: api.evaluate(place / "run", inputs / "many"),
    "report": lambda inputs, place: api.report(place / "run"),
    "quantise": _quantise,
    "average": lambda inputs, place: api.average(
        [inputs / "run"], inputs / "cells", place / "mean", choice="last"
    ),
    "ensemble": lambda inputs, place: api.ensemble(
        [inputs / "run", inputs / "other-run"], place / "ensemble"
    ),
    "audit": lambda inputs, place: api.audit(inputs / "cells", place / "audit"),
    "clean": lambda inputs, place: api.clean(
        inputs / "cells", inputs / "audit", place / "clean"
    ),
    "search": lambda inputs, place: search(
        inputs / "cells", place / "search", 1, 1.0, fixed=("preprocessing.size_px=32",)
    ),
    "calibrate": lambda inputs, place: api.calibrate(place / "run", inputs / "cells"),
    "card": lambda inputs, place: api.write_model_card(place / "run"),
    "phantom": lambda inputs, place: api.make_phantoms(
        place / "phantoms", 48, seed=3, size_px=32
    ),
    "corrupt": lambda inputs, place: api.corrupt(
        inputs / "few", place / "corrupted", corruptions=["saturate"]
    ),
    "crop": lambda inputs, place: api.crop(inputs / "field.png", place / "crops"),
    "predict": lambda inputs, place: api.predict(
        inputs / "run", [str(inputs / "many")], place / "table.csv"
    ),
    "count": lambda inputs, place: api.count(
        inputs / "run", [str(inputs / "many")], place / "count"
    ),
    "explain": lambda inputs, place: api.explain(
        inputs / "run", [str(inputs / "few")], place / "explained.html"
    ),
    "profile": lambda inputs, place: api.profile(
        inputs / "cells", inputs / "run", place / "lab.json"
    ),
    "check": lambda inputs, place: api.check(
        SHIPPED, [str(inputs / "cells")], place / "checked"
    ),
    "pick": lambda inputs, place: api.pick(
        SHIPPED, [str(inputs / "cells")], place / "picked.csv", num=8
    ),
    "adapt": lambda inputs, place: api.adapt(
        SHIPPED, inputs / "few", place / "adapted"
    ),
}  # fmt: skip
IN_A_RUN = ("evaluate", "report", "quantise", "calibrate", "card")
"""Commands that write into a run folder that is there."""


@dataclass(frozen=True)
class Ended:
    """How a command ended that was not killed."""

    num_operations: int
    """Operations that changed its folder."""
    seconds: float
    refusal: str
    """The line with which it refused to work; empty if it did its work."""


def work(name: str, inputs: Path, place: Path, kill_at: int, answer: Connection) -> None:
    """Run a command in this process; kill it before a file operation in its folder, from 1 on."""
    _use_the_default_engine()
    num = 0

    def count(event: str, given: tuple[Any, ...]) -> None:
        nonlocal num
        changes = event in CHANGES or (event == "open" and given[2] & WRITES)
        if changes and str(given[0]).startswith(str(place)):
            num += 1
            if num == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    began, refusal = time.monotonic(), ""
    try:
        COMMANDS[name](inputs, place)
    except StainproofError as error:
        refusal = str(error)
    answer.send(Ended(num, time.monotonic() - began, refusal))


def faults(name: str, place: Path) -> list[str]:
    """Return what is wrong in the folder of a killed command, such as files cut short."""
    found = []
    for path in visible_files(place):
        try:
            content_of(path)
        except Exception as error:
            found.append(f"{path.relative_to(place)}: {type(error).__name__}")
    if name == "evaluate":
        folder = place / "run" / "evaluations" / "many"
        pictures = [one.picture for one in Evaluation.read(folder / "eval.json").mistakes]
        found += [one for one in pictures if not (folder / "mistakes" / one).exists()]
    if name == "train" and (place / "run").exists():
        try:
            Classifier.load(place / "run")
        except StainproofError as error:
            if "\n" in str(error):
                found.append("a refusal of several lines")
    return found


def visible_files(place: Path) -> list[Path]:
    """Return all files that are not hidden, and in no hidden folder."""
    return [
        path
        for path in sorted(place.rglob("*"))
        if path.is_file() and not any(one.startswith(".") for one in path.relative_to(place).parts)
    ]


def results(name: str, place: Path) -> Any:
    """Return everything in a folder that must be the same each time."""
    if name == "search":  # the time of its trials decides how far they come
        found = json.loads((place / "search" / "search.json").read_text())
        return [(one["outcome"], one["assignments"]) for one in found["trials"]]
    return sorted(
        (str(path.parent if path.parent.name == "mistakes" else path.relative_to(place)), text)
        for path in visible_files(place)
        for text in [content_of(path)]
        if path.suffix != ".html" or name == "report"
    )


def content_of(path: Path) -> str:
    """Return what a file holds, without what is different each time; fail if it is cut short."""
    raw = path.read_bytes()
    content: Any = hashlib.sha256(raw).hexdigest()
    if path.suffix in (".json", ".jsonl"):
        lines = raw.splitlines() if path.suffix == ".jsonl" else [raw]
        content = [_steady(json.loads(line)) for line in lines]
        if path.name == MANIFEST_FILE:  # hashes of files with times
            content = sorted(content[0]["files"])
    elif path.suffix == ".safetensors":
        content = {
            key: hashlib.sha256(value.tobytes()).hexdigest()
            for key, value in load_file(path).items()
        }
    elif path.suffix == ".toml":
        tomllib.loads(raw.decode())
    elif path.suffix == ".onnx":
        onnx.load(path)
    elif path.suffix == ".npy":
        np.load(path)
    elif path.suffix == ".png":
        with Image.open(path) as picture:
            picture.load()
    elif not raw.endswith(ENDINGS.get(path.suffix, b"")):
        raise ValueError("cut short")
    return json.dumps(content)


def _steady(tree: Any) -> Any:
    """Return a JSON tree without the fields that are different each time."""
    if isinstance(tree, dict):
        return {key: _steady(value) for key, value in tree.items() if key not in VARYING}
    return [_steady(one) for one in tree] if isinstance(tree, list) else tree
