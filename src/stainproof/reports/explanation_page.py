"""HTML page of explanations: each image beside the pixels that support its predicted class."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stainproof import files, provenance
from stainproof.errors import DataError
from stainproof.reports.frame import picture_uri, render_page

if TYPE_CHECKING:
    from stainproof.data.images import Images
    from stainproof.data.stream import Item

MAX_IMAGES = 500
"""Images on one page."""
Maps = list[NDArray[np.float32]]


class Explainer(Protocol):
    """What the page needs of a classifier."""

    classes: tuple[str, ...]

    def predict_standardised(self, images: "list[Images]", /) -> NDArray[np.float32]:
        """Return probabilities float32 (N, classes)."""

    def explain_standardised(self, images: "list[Images]", targets: Sequence[str], /) -> Maps:
        """Return a map float32 (height, width), 0 to 1, of each image for its class."""


@dataclass(frozen=True)
class Row:
    """One image, ready to print."""

    name: str
    label: str
    probability: float
    """Of the class that the map explains."""
    explained: str
    picture: str
    overlay: str
    """Both pictures as data URIs."""


def write_explanations(
    classifier: Explainer, items: Iterable["Item"], out: Path, source: str, target: str | None
) -> int:
    """Write the page as one self-contained HTML file.

    Args:
        classifier: The classifier.
        items: At most `MAX_IMAGES` images; those that could not be read are listed.
        out: The file.
        source: Title of the page.
        target: Class that is explained; None: the predicted one of each image.

    Returns:
        The number of images that could not be read.

    Raises:
        DataError: There are too many images, the class is unknown, or the file cannot be written.
    """
    files.check_writable(out)
    if target is not None and target not in classifier.classes:
        allowed = ", ".join(classifier.classes)
        raise DataError(f"target {target!r} is unknown; allowed: {allowed}")
    shown = list(islice(items, MAX_IMAGES + 1))
    if len(shown) > MAX_IMAGES:
        raise DataError(f"a page explains at most {MAX_IMAGES} images, got more; name fewer")
    files.write_text(out, render(classifier, shown, source, target))
    return sum(item.rgb is None for item in shown)


def render(classifier: Explainer, shown: Sequence["Item"], source: str, target: str | None) -> str:
    """Return the page as text; the arguments are those of `write_explanations`."""
    readable = [(item.name, item.rgb) for item in shown if item.rgb is not None]
    images = [rgb for _, rgb in readable]
    rows = []
    if images:
        probs = classifier.predict_standardised(images)
        labels = [classifier.classes[index] for index in probs.argmax(axis=1)]
        targets = labels if target is None else [target] * len(images)
        maps = classifier.explain_standardised(images, targets)
        for (name, rgb), values, label, one, heat in zip(
            readable, probs, labels, targets, maps, strict=True
        ):
            probability = float(values[classifier.classes.index(one)])
            uris = picture_uri(Image.fromarray(rgb)), overlay_uri(rgb, heat)
            rows.append(Row(name, label, probability, one, *uris))
    return render_page(
        "explanations.html.jinja",
        source=source,
        provenance=provenance.collect(),
        rows=rows,
        errors=[(item.name, item.error) for item in shown if item.rgb is None],
    )


def overlay_uri(rgb: "Images", heat: NDArray[np.float32]) -> str:
    """Return an image with a map drawn over it, as `overlay` does, as a data URI."""
    return picture_uri(Image.fromarray(overlay(rgb, heat)))


def overlay(rgb: "Images", heat: NDArray[np.float32]) -> "Images":
    """Return an image with a map drawn over it; yellow is 1, dark is 0.

    Args:
        rgb: uint8 (height, width, 3).
        heat: float32 (height, width), 0 to 1.
    """
    colours = cv2.applyColorMap((255 * heat).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    return np.asarray((0.5 * rgb + 0.5 * colours).round(), dtype=np.uint8)
