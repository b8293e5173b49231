"""Fills the outputs of `stainproof look` into docs/sources.md; a test keeps them equal.

The example sets are made of synthetic cells, and the page has a slot for the output of each.
"""

import csv
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from stainproof import api
from stainproof.config.parsing import make_settings
from stainproof.config.schema import SourceConfig
from stainproof.data.class_map import HAEMATOLOGY, read_class_map
from stainproof.files import write_text

PAGE = Path(__file__).with_name("sources.md")
OUTPUT = re.compile(
    r"(<!-- not tested: its output[^>]+-->\n```console\nstainproof look )(.+?)"
    r"(\n```\n\n```text\n).*?(```)",
    re.DOTALL,
)
MAP_TABLE = re.compile(r"(<!-- haematology -->\n).*?(<!-- end -->)", re.DOTALL)
Draw = Callable[[str], Path]
"""Gives another cell of a class at every call."""


def make_examples(folder: Path) -> None:
    """Make the sets of the page in an empty folder."""
    cells = api.make_phantoms(folder / "cells", 240, seed=1, size_px=32)
    drawn = {path.name: sorted(path.iterdir()) for path in cells.iterdir() if path.is_dir()}

    def draw(label: str) -> Path:
        return drawn[label].pop()

    _cellavision(folder / "export", draw)
    _kaggle(folder / "blood", draw)
    _roboflow(folder / "roboflow", draw)
    _label_studio(folder / "labelled", draw)
    _qupath(folder / "crops", draw)
    _manifest(folder / "study", draw)
    _arrays(folder, draw)
    shutil.rmtree(cells)


def _copy(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix == ".jpg":
        Image.open(source).convert("RGB").save(target)
    else:
        shutil.copy(source, target)
    return target


def _write(path: Path, rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def _cellavision(root: Path, draw: Draw) -> None:
    names = {
        "Neutrophil, segmented": "neutrophil",
        "Lymphocyte": "lymphocyte",
        "NRBC": "erythroblast",
    }
    for patient in range(1, 5):
        slides = root / f"Patient_{patient:02d}" / "2024-03-05" / "Signed slides"
        for name, label in names.items():
            for number in range(patient):
                _copy(draw(label), slides / name / f"{number + 1}.jpg")
            (slides / name / "Thumbs.db").write_bytes(b"")


def _kaggle(root: Path, draw: Draw) -> None:
    for part, num in (("TRAIN", 4), ("TEST", 2)):
        for label in ("eosinophil", "monocyte"):
            for number in range(num):
                _copy(draw(label), root / "images" / part / label.upper() / f"_{number}_{num}.jpg")


def _roboflow(root: Path, draw: Draw) -> None:
    labels = ("basophil", "eosinophil", "platelet")
    for part, num in (("train", 4), ("valid", 2), ("test", 2)):
        rows: list[Sequence[object]] = [("filename", *(f" {label}" for label in labels))]
        for label in labels:
            for number in range(num):
                path = _copy(draw(label), root / part / f"{label}-{number}.rf.jpg")
                rows.append((path.name, *(int(label == one) for one in labels)))
        _write(root / part / "_classes.csv", rows)


def _label_studio(root: Path, draw: Draw) -> None:
    rows: list[Sequence[object]] = [("annotation_id", "annotator", "choice", "id", "image")]
    for label in ("basophil", "monocyte"):
        for number in range(4):
            path = _copy(draw(label), root / "upload" / f"{label[:2]}{number}.png")
            rows.append((len(rows), 1, label, len(rows), path.relative_to(root).as_posix()))
    _write(root / "export.csv", rows)


def _qupath(root: Path, draw: Draw) -> None:
    for slide in ("smear 3", "smear 7"):
        for label in ("ig", "platelet"):
            for number in range(3):
                name = f"{slide} [x={1200 + 40 * number},y=880,w=32,h=32].png"
                _copy(draw(label), root / label / name)


def _manifest(root: Path, draw: Draw) -> None:
    rows: list[Sequence[object]] = [("filename", "class", "patient", "split")]
    for patient, part in enumerate(("train", "train", "train", "val", "test"), 1):
        for label in ("lymphocyte", "neutrophil"):
            for number in range(2):
                name = f"{patient}_{label[:3]}_{number}.png"
                _copy(draw(label), root / name)
                rows.append((name, label, f"P{patient}", part))
    _write(root / "cells.csv", rows)


def _arrays(folder: Path, draw: Draw) -> None:
    labels = np.arange(16) % 8
    names = sorted(("basophil", "eosinophil", "erythroblast", "ig", "lymphocyte", "monocyte",
                    "neutrophil", "platelet"))  # fmt: skip
    images = np.stack([np.asarray(Image.open(draw(names[label]))) for label in labels])
    np.savez(folder / "training_set.npz", images=images, labels=labels)
    parts = {"train": slice(0, 8), "val": slice(8, 12), "test": slice(12, 16)}
    arrays = {f"{part}_images": images[rows] for part, rows in parts.items()}
    arrays |= {f"{part}_labels": labels[rows, None] % 3 for part, rows in parts.items()}
    np.savez(folder / "mine.npz", **arrays)  # type: ignore[arg-type]


def output(folder: Path, words: Sequence[str]) -> str:
    """Return what `stainproof look` prints for a source and options in the folder."""
    options = {
        option.removeprefix("--").replace("map", "class_map").replace("-", "_"): value
        for option, value in zip(words[1::2], words[2::2], strict=True)
    }
    found = api.look(folder / words[0], options=make_settings(SourceConfig, options, "option"))
    return "\n".join(found.lines()) + "\n"


def map_table() -> str:
    """Return the table of the packaged class map."""
    rules = read_class_map(HAEMATOLOGY)
    rows = [(name, ", ".join(names)) for name, names in rules.classes.items()]
    rows.append(("left out", ", ".join(rules.ignore)))
    lines = ("| class | names that become it |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows))
    return "\n".join(lines) + "\n"


def filled(page: str, folder: Path) -> str:
    """Return the page with the outputs for the examples in the folder."""

    def fill(slot: re.Match[str]) -> str:
        return f"{slot[1]}{slot[2]}{slot[3]}{output(folder, shlex.split(slot[2]))}{slot[4]}"

    page = OUTPUT.sub(fill, page)
    return MAP_TABLE.sub(lambda slot: f"{slot[1]}{map_table()}{slot[2]}", page)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        make_examples(Path(name))
        write_text(PAGE, filled(PAGE.read_text(encoding="utf-8"), Path(name)))
