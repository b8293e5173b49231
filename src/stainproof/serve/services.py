"""What the routes share: the model behind its queue, the session, the folder, the counters."""

import asyncio
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Annotated

import numpy as np
from fastapi import Depends, Request
from numpy.typing import NDArray
from PIL import Image

from stainproof.cells.crops import cut
from stainproof.cells.fields import find_cells
from stainproof.cells.scale import measure_scale
from stainproof.data.bit_depth import bits_used
from stainproof.data.image_file import MAX_BYTES, MAX_PIXELS
from stainproof.data.images import Images, to_square
from stainproof.data.tree import Tree, scan
from stainproof.errors import DataError
from stainproof.evaluation.misclassification import ErrorCounts
from stainproof.inference.classifier import Classifier
from stainproof.machine import num_cores
from stainproof.reports.explanation_page import overlay
from stainproof.serve.batching import Batcher
from stainproof.serve.checks import Checks
from stainproof.serve.counting import Counting
from stainproof.serve.fields import FieldPictures, hash_of
from stainproof.serve.instruments import Instruments
from stainproof.serve.records import Box, Field, ModelFacts, NewCell
from stainproof.serve.settings import Limits, Settings
from stainproof.serve.store import Store
from stainproof.serve.uncertainty import Uncertainty
from stainproof.serve.uploads import decode_bytes

PICTURES = Limits(file_bytes=MAX_BYTES, num_pixels=MAX_PIXELS)
"""Limits of a picture in the session."""


@dataclass(frozen=True)
class PreparedCell:
    """A decoded cell that waits for its prediction."""

    name: str
    square: Images
    """What the network gets."""
    picture: bytes
    """The pixels as PNG."""
    sha256: str
    place: tuple[Field, Box] | None = None
    """The field that it was cut from, and where."""


class Services:
    """The parts of a running server."""

    def __init__(
        self,
        name: str,
        classifier: Classifier,
        errors: ErrorCounts,
        settings: Settings,
        uncertainty: Uncertainty | None = None,
    ):
        """Open the session and start the threads.

        Args:
            name: What the model is called.
            classifier: The model.
            errors: Its errors on labelled cells, for the intervals of counts.
            settings: What to read and keep, and limits.
            uncertainty: Which cells are uncertain; None: the fixed rule.

        Raises:
            DataError: The session file cannot be used, or the bit depth of 16-bit files in the
                folder is ambiguous.
            ConfigError: Another server has the session open.
            CheckpointError: The reference of the model cannot be used.
        """
        self.model_name = name
        self.classifier, self.settings = classifier, settings
        self.uncertainty = uncertainty or Uncertainty()
        self.counting = Counting(classifier, errors)
        self.checks = Checks(classifier)
        self.instruments = Instruments()
        self.folder = _scan_inside(settings.folder) if settings.folder else None
        files = [path.resolve() for path in self.folder.images] if self.folder else []
        self.bits = bits_used(files)
        """Number of bits that the values of the folder's 16-bit files use."""
        self.field_pictures = FieldPictures(files, bits=self.bits)
        lab = classifier.lab.describe() if classifier.lab else ""
        facts = ModelFacts(classifier.weights_sha256, classifier.classes, lab)
        self.store = Store(settings.session, facts)
        self.pool = ThreadPoolExecutor(num_cores(), thread_name_prefix="stainproof-decode")
        self.batcher = Batcher(
            classifier.predict_standardised,
            settings.limits.num_waiting,
            self.instruments.batch.observe,
        )
        self.instruments.waiting.set_function(lambda: self.batcher.num_waiting)
        sizes = {member.card.preprocessing.size_px for member in classifier.members}
        self._one_size = len(sizes) == 1
        self._one_explanation = Lock()

    def close(self) -> None:
        """Answer what is queued, then end the threads and close the session."""
        self.batcher.close()
        self.pool.shutdown()
        self.store.close()

    def to_input(self, rgb: Images) -> Images:
        """Return an image as the network takes it; for networks of several sizes unresized."""
        rgb = self.classifier.standardise(rgb)
        return to_square(rgb, self.classifier.preprocessing) if self._one_size else rgb

    def decode(self, picture: bytes) -> Images:
        """Decode a picture of the session, which may be as large as images of the folder.

        Raises:
            DataError: It is no image that can be read, or too large.
        """
        return decode_bytes(picture, PICTURES)

    def explain(self, picture: bytes) -> bytes:
        """Return a picture with a map of what supports its predicted class, as PNG.

        It needs the weights of the run, and the first call loads PyTorch.

        Raises:
            ConfigError: The network has no feature maps.
            CheckpointError: The weights are missing or were altered.
            DataError: The picture cannot be read.
        """
        with self._one_explanation:
            rgb = self.classifier.standardise(self.decode(picture))
            index = int(self.classifier.predict_standardised([rgb]).argmax())
            target = self.classifier.classes[index]
            (heat,) = self.classifier.explain_standardised([rgb], [target])
        return _png(overlay(rgb, heat))

    def _prepare_cell(
        self, name: str, rgb: Images, place: tuple[Field, Box] | None = None
    ) -> PreparedCell:
        """Return what is kept of a decoded cell."""
        return PreparedCell(name, self.to_input(rgb), _png(rgb), hash_of(rgb), place)

    def prepare(self, name: str, rgb: Images) -> list[PreparedCell]:
        """Return what is kept of a decoded image: one cell, or the cells of a field.

        Raises:
            DataError: The scale of the field cannot be measured, or it has no cell.
        """
        if not self.settings.has_fields:
            return [self._prepare_cell(name, rgb)]
        red_cell_px = measure_scale(rgb).red_cell_px
        if not red_cell_px:
            raise DataError("no red cells and no nuclei to measure the scale by")
        cells = find_cells(rgb, red_cell_px)
        if not cells:
            raise DataError("no cell was found")
        size_px = self.classifier.preprocessing.size_px
        height, width = rgb.shape[:2]
        field = Field(name, hash_of(rgb), width, height)
        self.field_pictures.put(field.sha256, rgb)
        return [
            self._prepare_cell(
                f"{name}, cell {number}",
                cut(rgb, cell, red_cell_px, size_px),
                (field, (cell.x0, cell.y0, cell.x1, cell.y1)),
            )
            for number, cell in enumerate(cells, 1)
        ]

    async def classify(self, images: Sequence[Images]) -> NDArray[np.float32]:
        """Return the probabilities of images, one or more, float32 (N, classes).

        Raises:
            BusyError: Too many images are waiting.
        """
        probs = await asyncio.wrap_future(self.batcher.submit(images))
        self.instruments.images.inc(len(images))
        return probs

    async def add(self, prepared: Sequence[PreparedCell], paths: Sequence[str]) -> list[int]:
        """Classify cells and add them to the session; return the ids of the new ones."""
        if not prepared:
            return []
        probs = await self.classify([one.square for one in prepared])
        cells = [
            NewCell(one.name, path, one.sha256, one.picture, row, one.place)
            for one, path, row in zip(prepared, paths, probs, strict=True)
        ]
        return await asyncio.to_thread(self.store.add, cells)


def _png(rgb: Images) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, format="PNG", compress_level=1)
    return stream.getvalue()


def _scan_inside(folder: Path) -> Tree:
    """List the images of a folder; those that links would reach outside it are skipped."""
    tree = scan(folder)
    home = folder.resolve()
    inside = [path for path in tree.images if path.resolve().is_relative_to(home)]
    tree.skipped["outside the folder"] = len(tree.images) - len(inside)
    tree.images = inside
    return tree


def services_of(request: Request) -> Services:
    """Return the parts of the server that a request reached."""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


Parts = Annotated[Services, Depends(services_of)]
"""The parts of the server, as an argument of a route."""
