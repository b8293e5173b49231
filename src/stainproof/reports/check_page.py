"""HTML page of a check of unlabelled images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from stainproof.deployment.images import UnlabelledImages
from stainproof.deployment.properties import PROPERTIES
from stainproof.deployment.result import Checked
from stainproof.errors import CheckpointError
from stainproof.reports.frame import picture_uri, render_page
from stainproof.reports.own_files import read_picture
from stainproof.runs.folder import RunFolder

NUM_PICTURES = 12
NUM_MOVED = 3
"""Properties of the largest shift that are shown with pictures."""


@dataclass(frozen=True)
class Picture:
    """An image of the page."""

    uri: str
    caption: str
    file: str = ""


def render_check(checked: Checked, images: UnlabelledImages, examples: Sequence[Picture]) -> str:
    """Return the page of a check as one self-contained HTML text.

    Args:
        checked: The result with its measurements.
        images: The images.
        examples: Pictures of home cells.
    """
    result = checked.result
    position = {name: index for index, name in enumerate(images.names)}

    def pictures(indices: Iterable[int], captions: Iterable[str]) -> list[Picture]:
        return [
            Picture(picture_uri(Image.fromarray(images.rgb[index])), caption, images.names[index])
            for index, caption in zip(indices, captions, strict=True)
        ]

    moved = []
    shifted = [test for test in result.drift.moved if test.name in PROPERTIES]
    for test in shifted[:NUM_MOVED]:
        values = checked.properties[:, PROPERTIES.index(test.name)]
        typical = np.argsort(np.abs(values - np.median(values)), kind="stable")[: NUM_PICTURES // 2]
        captions = [f"{values[index]:.3g}" for index in typical]
        moved.append((f"{test.name} ({test.shift:+.2f} SD)", pictures(typical, captions)))
    unlike = result.unlike[:NUM_PICTURES]
    doubtful = np.argsort(checked.chances, kind="stable")[:NUM_PICTURES]
    return render_page(
        "check.html.jinja",
        source=", ".join(result.images),
        provenance=result.provenance,
        result=result,
        rows=list(zip(result.classes, result.class_mix, strict=True)),
        moved=moved,
        examples=examples,
        unlike=pictures(
            (position[one.name] for one in unlike),
            (f"{one.predicted}, distance {one.distance:.2f}" for one in unlike),
        ),
        doubtful=pictures(
            doubtful, (f"right with {100 * checked.chances[index]:.0f} %" for index in doubtful)
        ),
    )


def home_examples(run: RunFolder) -> list[Picture]:
    """Return one home cell of every class; damaged or foreign files are left out."""
    found = []
    for folder in sorted(run.examples.glob("*")):
        for path in sorted(folder.glob("*.png"))[:1]:
            try:
                found.append(Picture(read_picture(path, run.path), folder.name))
            except CheckpointError:
                continue
    return found[:NUM_PICTURES]
