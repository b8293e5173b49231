"""Out-of-distribution scores: no cells, red cells only, doctored cells, distorted cells.

python -m benchmarks.shift.ood RUN --clean CLEAN --doctored DS1 --truth TRUTH --fields FIELDS
    --labs OTHER_LAB --left-out RUN_WITHOUT_A_CLASS --cache FOLDER
"""

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images
from sklearn.metrics import roc_auc_score

from benchmarks.common.page import made_on, write_section
from benchmarks.shift.embeddings import LabelledSet, keep_set, read_set
from stainproof.data import sources
from stainproof.data.decoding import decode
from stainproof.data.images import Images, to_square
from stainproof.deployment.home import Home, open_home
from stainproof.deployment.novelty import ClassDistance, NeighbourDistance, energy
from stainproof.errors import DataError
from stainproof.synthetic.pictures import make_texture

NUM_IMAGES = 150
MIN_PART = 0.25
"""Smallest window cut out of a photograph, relative to its shorter side."""
SCORES = ("energy", "class distance", "neighbours")


def main(arguments: list[str] | None = None) -> None:
    """Score every kind of image by every score and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a run with a reference")
    parser.add_argument("--clean", required=True, help="other cells of the home laboratory")
    parser.add_argument("--doctored", help="folder of training images with doctored ones")
    parser.add_argument("--truth", help="CSV with the columns file and origin")
    parser.add_argument("--fields", type=Path, help="folder of fields with boxes.csv")
    parser.add_argument("--labs", nargs="*", default=[], help="labelled cells elsewhere")
    parser.add_argument("--left-out", nargs="*", default=[], help="runs trained without a class")
    parser.add_argument("--cache", type=Path, required=True, help="folder for features")
    options = parser.parse_args(arguments)
    home: Home = open_home(options.run)
    clean = read_set(home, options.clean, options.cache)
    made: dict[str, Callable[[], Images]] = {
        "photographs": lambda: photographs(home),
        "synthetic pictures": lambda: textures(home),
    }
    if options.fields:
        made["red cells only"] = lambda: red_cells(home, options.fields)
    if options.truth:
        made["doctored cells"] = lambda: doctored(home, options.doctored, options.truth)
    sets = [_unlabelled(home, options.cache, name, read) for name, read in made.items()]
    sets += [read_set(home, one, options.cache) for one in options.labs]
    lines = [table_line(home, clean, one) for one in sets]
    for run in options.left_out:
        lines.append(of_left_out(open_home(run), options.clean, options.cache))
    false = share_unlike(home, clean.embedding.features)
    write_section("Images unlike the home cells", "\n".join([
        f"Area under the ROC curve against {len(clean.labels):,} other home cells, by score, and "
        "the share of images that `check` calls unlike the home cells; of the home cells it is "
        f"{100 * false:.1f} %. Photographs: windows of the two that scikit-learn includes. One "
        "run; a class never trained: a run without this class, against the other classes.\n",
        "| images | number | " + " | ".join(SCORES) + " | called unlike |",
        "|---|---|" + "---|" * (1 + len(SCORES)),
        *lines,
        f"\n{made_on()}",
    ]))  # fmt: skip


def table_line(home: Home, known: LabelledSet, unknown: LabelledSet, name: str = "") -> str:
    """Return the line of a set beside cells that the run knows."""
    scores = make_scores(home)
    known_features, features = known.embedding.features, unknown.embedding.features
    cells = " | ".join(
        f"{_auroc(scores[name](known_features), scores[name](features)):.3f}" for name in SCORES
    )
    found = share_unlike(home, features)
    return f"| {name or unknown.name} | {len(features)} | {cells} | {100 * found:.0f} % |"


def share_unlike(home: Home, features: NDArray[np.float32]) -> float:
    """Return the share of images that `check` calls unlike the home cells, 0 to 1."""
    neighbours = NeighbourDistance(home.reference.home.features)
    return float((neighbours(features) > neighbours.threshold).mean())


def of_left_out(home: Home, clean: str, cache: Path) -> str:
    """Return the line of the classes of `clean` that a run was trained without."""
    data = sources.load(clean, home.classifier.preprocessing)
    classes = (*home.classifier.classes, *set(data.classes) - set(home.classifier.classes))
    whole = keep_set(home, cache, "all classes", lambda: (data.images, data.labels_in(classes)))
    is_new = whole.labels >= len(home.classifier.classes)
    known, new = (whole.subset(np.flatnonzero(mask)) for mask in (~is_new, is_new))
    names = ", ".join(classes[len(home.classifier.classes) :])
    return table_line(home, known, new, f"{names}, never trained")


def make_scores(home: Home) -> dict[str, Callable[[NDArray[np.float32]], NDArray[np.float64]]]:
    """Return score -> function of features; larger: more unlike the home cells."""
    extractor, reference = home.classifier.extractor, home.reference
    return {
        SCORES[0]: lambda features: energy(extractor.logits(features)),
        SCORES[1]: ClassDistance(reference.home.features, reference.labels),
        SCORES[2]: NeighbourDistance(reference.home.features),
    }


def photographs(home: Home) -> Images:
    """Return random windows of photographs, uint8 (n, size, size, 3)."""
    rng, found = np.random.default_rng(0), []
    for index in range(NUM_IMAGES):
        picture = load_sample_images().images[index % 2]
        height, width = picture.shape[:2]
        side = int(rng.uniform(MIN_PART, 1) * min(height, width))
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        window = picture[top : top + side, left : left + side]
        found.append(to_square(np.ascontiguousarray(window), home.classifier.preprocessing))
    return np.stack(found)


def textures(home: Home) -> Images:
    """Return synthetic pictures of textures, uint8 (n, size, size, 3)."""
    size = home.classifier.preprocessing.size_px
    rngs = map(np.random.default_rng, range(NUM_IMAGES))
    return np.stack([make_texture((size, size, 3), rng) for rng in rngs])


def red_cells(home: Home, folder: Path) -> Images:
    """Return windows around red cells that no box of a white cell or platelet overlaps."""
    with (folder / "boxes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found: list[Images] = []
    for name in sorted({row["file"] for row in rows}):
        here = [row for row in rows if row["file"] == name]
        boxes = np.array([[float(row[key]) for key in ("x0", "y0", "x1", "y1")] for row in here])
        is_red = np.array([row["cell"].lower().startswith("r") for row in here])
        rgb = decode(folder / name).rgb
        for x0, y0, x1, y1 in boxes[is_red][:6]:
            side = int(1.5 * max(x1 - x0, y1 - y0))
            left, top = int(x0 + x1 - side) // 2, int(y0 + y1 - side) // 2
            is_inside = min(left, top) >= 0 and top + side <= len(rgb)
            others = boxes[~is_red]
            overlaps = (others[:, 2] > left) & (others[:, 0] < left + side)
            overlaps &= (others[:, 3] > top) & (others[:, 1] < top + side)
            if is_inside and left + side <= rgb.shape[1] and side > 16 and not overlaps.any():
                window = np.ascontiguousarray(rgb[top : top + side, left : left + side])
                found.append(to_square(window, home.classifier.preprocessing))
    if not found:
        raise DataError(f"{folder}: no box of a red cell without a white cell beside it")
    return np.stack(found[:NUM_IMAGES])


def doctored(home: Home, folder: str, truth: str) -> Images:
    """Return doctored cells of a table of truth."""
    with Path(truth).open(newline="") as file:
        names = [row["file"] for row in csv.DictReader(file) if row["origin"].startswith("doct")]
    chosen = np.random.default_rng(0).permutation(names)[:NUM_IMAGES]
    root = Path(folder)
    paths = (root / name if (root / name).exists() else root.parent / name for name in chosen)
    return np.stack([to_square(decode(path).rgb, home.classifier.preprocessing) for path in paths])


def _unlabelled(home: Home, cache: Path, name: str, read: Callable[[], Images]) -> LabelledSet:
    def with_labels() -> tuple[Images, NDArray[np.int64]]:
        images = read()
        return images, np.zeros(len(images), dtype=np.int64)

    return keep_set(home, cache, name, with_labels)


def _auroc(at_home: NDArray[np.float64], elsewhere: NDArray[np.float64]) -> float:
    is_elsewhere = np.repeat([0, 1], [len(at_home), len(elsewhere)])
    return float(roc_auc_score(is_elsewhere, np.concatenate([at_home, elsewhere])))


if __name__ == "__main__":
    main()
