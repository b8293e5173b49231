"""Boxes that others have drawn or found: a CSV table, COCO, YOLO or Pascal VOC files."""

import csv
import io
import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

from stainproof.cells.fields import Cell
from stainproof.data.decoding import SUFFIXES, UNREAD_SUFFIXES
from stainproof.data.listing import first_repeated
from stainproof.errors import DataError
from stainproof.files import read_bytes
from stainproof.text import printable, unquote_formula

FIELD_COLUMNS = ("field", "file", "image", "filename", "image_id", "path")
KIND_COLUMNS = ("kind", "cell", "label", "class", "cell_type", "category")
EDGE_COLUMNS = (
    ("x0", "y0", "x1", "y1"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("left", "top", "right", "bottom"),
)
SIDECARS = frozenset({".txt", ".xml"})
"""Files of one field each, whose folder is part of its name."""
NAME_SUFFIXES = SUFFIXES | UNREAD_SUFFIXES | SIDECARS
"""Suffixes that are no part of the name of a field, as `.1` in `slide.1` is."""
ALLOWED = "a .csv table, a COCO .json file, or a folder of YOLO .txt or Pascal VOC .xml files"


@dataclass(frozen=True)
class Box:
    """A box of a file; if `is_relative` in fractions of the field's width and height."""

    edges: tuple[float, float, float, float]
    """x0, y0, x1, y1."""
    kind: str
    """Its label; empty if it has none."""
    score: float = 1.0
    """Its score; 1 if it has none."""
    is_relative: bool = False
    """Whether edges are fractions."""


class Boxes:
    """Boxes by the name of their field."""

    def __init__(self, source: Path, by_name: Mapping[str, Sequence[Box]]) -> None:
        """Group boxes by the name of their field without folders and suffix.

        Args:
            source: Where they are from.
            by_name: Name of a field, with the folders that are known -> its boxes.

        Raises:
            DataError: There is no box.
        """
        self.source = source
        self.by_stem: dict[str, dict[PurePosixPath, Sequence[Box]]] = defaultdict(dict)
        for name, boxes in by_name.items():
            self.by_stem[_stem(name)][_path(name)] = boxes
        if not self.by_stem:
            raise DataError(f"{printable(source)}: no boxes there; allowed: {ALLOWED}")

    def check_any(self, fields: Iterable[Path]) -> None:
        """Refuse boxes of other fields, and names that do not tell fields or boxes apart.

        Raises:
            DataError: No field has a box, a field could have those of two names, or two fields
                those of one.
        """
        paths = list(fields)
        names = [name for path in paths if (name := self._name_of(path))]
        if not names:
            known = next(iter(self.by_stem))
            raise DataError(
                f"{printable(self.source)}: no box is of one of these fields; its first is "
                f"{printable(known)!r}, the first field {printable(_stem(paths[0].name))!r}"
            )
        if len(set(names)) < len(names):
            twice = next(name for name, times in Counter(names).items() if times > 1)
            raise DataError(
                f"{printable(self.source)}: two fields are named {printable(_stem(twice.name))!r}; "
                "boxes are assigned by name"
            )

    def _name_of(self, field: Path) -> PurePosixPath | None:
        """Return the name that agrees with most of the path of a field, or None.

        Raises:
            DataError: Two names agree with equally much of it.
        """
        names = self.by_stem.get(_stem(field.name), {})
        most = max((_agreement(name, field) for name in names), default=(0, False))
        best = [name for name in names if _agreement(name, field) == most]
        if len(best) > 1:
            raise DataError(
                f"{printable(self.source)}: the field {printable(field)} could have the boxes of "
                f"{printable(str(best[0]))!r} or of {printable(str(best[1]))!r}"
            )
        return best[0] if best else None

    def of(self, field: Path, shape: tuple[int, ...]) -> list[Cell]:
        """Return the boxes of a field as cells.

        Args:
            field: The path of the field.
            shape: Height and width of the field in pixels.

        Raises:
            DataError: See `check_any`.
        """
        name = self._name_of(field)
        if name is None:
            return []
        height, width = shape[:2]
        cells = []
        for box in self.by_stem[_stem(field.name)][name]:
            wide, high = (width, height) if box.is_relative else (1, 1)
            x0, y0, x1, y1 = box.edges
            cells.append(
                Cell(x0 * wide, y0 * high, x1 * wide, y1 * high, box.score, box.kind or "given")
            )
        return cells


def read_boxes(path: str | Path) -> Boxes:
    """Read boxes from a file or a folder; the format is recognised by the suffix.

    - `.csv`: a column for the field (`field`, `file`, `image`, `filename`), four for the edges in
      pixels (`x0, y0, x1, y1` or `xmin, ymin, xmax, ymax`), and optionally `kind` (`cell`, `label`,
      `class`) and `score`.
    - `.json`: COCO, with `images`, `annotations` (`bbox`: x, y, width, height) and `categories`.
    - a folder, or one file, of YOLO `.txt` (class, centre x, centre y, width, height as fractions,
      or class and the corners of a polygon, whose box is taken; then a score, if there is one) or
      Pascal VOC `.xml`. YOLO classes are named by `classes.txt`, if there is one.

    Boxes and fields are matched by file name without suffix; of several boxes of that name those
    count whose folders agree with most of those of the field.

    Args:
        path: File or folder.

    Raises:
        DataError: It cannot be read as one of these, is larger than 64 MB, or has no box.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.suffix.lower() in SIDECARS)
    else:
        files = [path]
    root = path if path.is_dir() else path.parent
    by_name: dict[str, list[Box]] = defaultdict(list)
    for file in files:
        read = READERS.get(file.suffix.lower())
        if read is None:
            raise DataError(f"{printable(file)}: unknown kind of boxes; allowed: {ALLOWED}")
        try:
            folder = file.parent.relative_to(root) if file.suffix.lower() in SIDECARS else Path()
            for name, box in read(file):
                _check(box)
                by_name[(folder / name).as_posix()].append(box)
        except DataError as error:
            raise DataError(f"{printable(file)}: {error}") from error
        except OSError as error:
            raise DataError(f"{printable(file)}: {error.strerror or error}") from error
        except (
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            OverflowError,
            csv.Error,
            RecursionError,
        ) as error:
            raise DataError(
                f"{printable(file)}: damaged boxes ({printable(str(error))})"
            ) from error
        except ElementTree.ParseError as error:
            raise DataError(f"{printable(file)}: damaged XML ({error})") from error
    return Boxes(path, by_name)


def _check(box: Box) -> None:
    x0, y0, x1, y1 = box.edges
    if not all(map(math.isfinite, (*box.edges, box.score))) or x1 < x0 or y1 < y0:
        raise DataError(
            f"a box must have finite edges with x0 <= x1 and y0 <= y1, got {x0:g}, {y0:g}, "
            f"{x1:g}, {y1:g}"
        )


def _read_csv(path: Path) -> Iterator[tuple[str, Box]]:
    rows = csv.DictReader(io.StringIO(read_bytes(path).decode("utf-8-sig")))
    names = {name.strip().lower(): name for name in rows.fieldnames or ()}
    field = _first(FIELD_COLUMNS, names)
    edges = next((four for four in EDGE_COLUMNS if all(one in names for one in four)), None)
    if field is None or edges is None:
        raise DataError(
            "the table needs the columns field, x0, y0, x1, y1; got "
            + ", ".join(map(printable, names))
        )
    kind = _first(KIND_COLUMNS, names)
    for row in rows:
        numbers = [float(row[names[one]]) for one in edges]
        score = float(row[names["score"]] or 1) if "score" in names else 1.0
        label = row[names[kind]] if kind else ""
        box = Box((numbers[0], numbers[1], numbers[2], numbers[3]), printable(label or ""), score)
        yield unquote_formula(row[names[field]]), box


def _first(allowed: Iterable[str], names: Mapping[str, str]) -> str | None:
    return next((one for one in allowed if one in names), None)


def _read_coco(path: Path) -> Iterator[tuple[str, Box]]:
    content: Any = json.loads(read_bytes(path))
    files = {image["id"]: str(image["file_name"]) for image in content["images"]}
    if twice := first_repeated(list(files.values())):
        raise DataError(f"two images are named {printable(twice)!r}")
    kinds = {one["id"]: str(one["name"]) for one in content.get("categories", ())}
    for one in content["annotations"]:
        x, y, width, height = map(float, one["bbox"])
        kind = printable(kinds.get(one.get("category_id"), ""))
        box = Box((x, y, x + width, y + height), kind, float(one.get("score", 1)))
        yield files[one["image_id"]], box


def _read_yolo(path: Path) -> Iterator[tuple[str, Box]]:
    if path.name == "classes.txt":
        return
    kinds: list[str] = []
    for folder in (path.parent, path.parent.parent):
        if (folder / "classes.txt").is_file():
            kinds = read_bytes(folder / "classes.txt").decode().split("\n")
            break
    for line in read_bytes(path).decode().splitlines():
        if not line.strip():
            continue
        number, *values = map(float, line.split())
        score = values.pop() if len(values) % 2 else 1.0
        kind = kinds[int(number)].strip() if 0 <= number < len(kinds) else f"{number:g}"
        yield path.stem, Box(_yolo_edges(values), printable(kind), score, is_relative=True)


def _yolo_edges(values: Sequence[float]) -> tuple[float, float, float, float]:
    """Return x0, y0, x1, y1 of a box (centre, width, height) or around a polygon's corners."""
    if len(values) > 4:
        x, y = values[::2], values[1::2]
        return min(x), min(y), max(x), max(y)
    middle_x, middle_y, width, height = values
    return (
        middle_x - width / 2,
        middle_y - height / 2,
        middle_x + width / 2,
        middle_y + height / 2,
    )


def _read_voc(path: Path) -> Iterator[tuple[str, Box]]:
    text = read_bytes(path)
    if b"<!ENTITY" in text or b"<!DOCTYPE" in text:
        raise DataError("XML with its own entities is not read")
    root = ElementTree.fromstring(text)
    name = root.findtext("filename") or path.stem
    for one in root.iter("object"):
        corners = [one.findtext(f"bndbox/{edge}") for edge in EDGE_COLUMNS[1]]
        x0, y0, x1, y1 = (float(corner or "nan") for corner in corners)
        yield name, Box((x0, y0, x1, y1), printable(one.findtext("name") or ""))


def _path(name: str) -> PurePosixPath:
    return PurePosixPath(name.replace("\\", "/"))


def _stem(name: str) -> str:
    """Return a name without its folders and its suffix, if it is one that files have."""
    path = _path(name)
    return path.stem if path.suffix.lower() in NAME_SUFFIXES else path.name


def _agreement(name: PurePosixPath, field: Path) -> tuple[int, bool]:
    """Return how many of the last folders are those of the field, and whether the suffix is."""
    pairs = zip(name.parts[-2::-1], field.absolute().parts[-2::-1], strict=False)
    num_folders = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return num_folders, name.name == field.name


Reader = Callable[[Path], Iterator[tuple[str, Box]]]
READERS: dict[str, Reader] = {
    ".csv": _read_csv,
    ".json": _read_coco,
    ".txt": _read_yolo,
    ".xml": _read_voc,
}
