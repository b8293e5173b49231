"""Phantom cells: seeded, labelled synthetic images of the eight classes, without any real image.

A cell is painted as amounts of three dyes on a canvas; a `Scene` (stain, illumination, optics,
sensor) renders them, so the same cells can be shown in another laboratory. Positions are complex
numbers, x right and y down, in micrometres from the image centre.
"""

import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stainproof import files
from stainproof.data.images import Images
from stainproof.errors import DataError
from stainproof.labels import BLOOD_CLASSES
from stainproof.machine import num_cores
from stainproof.progress import Track, silent
from stainproof.synthetic import anatomy as parts
from stainproof.synthetic.anatomy import Anatomy, Paint, Places, Plane, between, direction
from stainproof.synthetic.imaging import LABS, Scene, Stain, expose
from stainproof.synthetic.textures import TILES, red_cells, tile

__all__ = ["LABS", "Scene", "Stain", "class_of", "draw", "generate", "make_phantoms", "stream"]

SIZES_PX = (28, 224)
FINE_PX = 64
"""Smaller images are drawn at twice the size and reduced."""
BATCH = 50
AHEAD = 100
"""Maximum number of batches that wait for the consumer."""


def generate(
    num_images: int,
    *,
    seed: int,
    size_px: int = 96,
    lab: str = "home",
    num_workers: int | None = None,
) -> tuple[Images, NDArray[np.int64]]:
    """Draw a labelled set; the classes alternate.

    Args:
        num_images: Number of images, at least 1.
        seed: 0 or more. Image i depends on the seed, i, the size and the laboratory only; the same
            seed and i give the same cell in every laboratory and size.
        size_px: Width and height, 28 to 224.
        lab: Name in `LABS`.
        num_workers: Number of processes, at least 1; None: one, or one per core for more than 1,000
            images. A script that uses several needs `if __name__ == "__main__":`.

    Returns:
        Images uint8 (N, size, size, 3), RGB, and labels int64 (N,), positions in
        `stainproof.labels.BLOOD_CLASSES`.

    Raises:
        DataError: A number is out of range or the laboratory is unknown.
    """
    drawn = stream(num_images, seed=seed, size_px=size_px, lab=lab, num_workers=num_workers)
    images = np.empty((num_images, size_px, size_px, 3), np.uint8)
    for index, rgb in enumerate(drawn):
        images[index] = rgb
    return images, np.arange(num_images) % len(BLOOD_CLASSES)


def stream(
    num_images: int,
    *,
    seed: int,
    size_px: int = 96,
    lab: str = "home",
    num_workers: int | None = None,
) -> Iterator[Images]:
    """Yield the images of `generate` one by one; memory does not grow with their number."""
    _check_size(size_px)
    if lab not in LABS:
        raise DataError(f"lab {lab!r} is unknown; allowed: {', '.join(LABS)}")
    if num_workers is None:
        num_workers = num_cores() if num_images > 1000 else 1
    for name, value, least in (
        ("num_images", num_images, 1),
        ("seed", seed, 0),
        ("num_workers", num_workers, 1),
    ):
        if value < least:
            raise DataError(f"{name} must be {least} or more, got {value}")
    starts = range(0, num_images, BATCH)
    jobs = [(seed, start, min(start + BATCH, num_images), size_px, lab) for start in starts]
    return (rgb for batch in _run(jobs, num_workers) for rgb in batch)


def make_phantoms(
    out: str | Path,
    num_images: int,
    *,
    seed: int = 0,
    lab: str = "home",
    size_px: int = 96,
    track: Track = silent,
) -> Path:
    """Write synthetic cells as class folders of PNG files.

    Args:
        out: Folder to make; must not exist, or be empty.
        num_images: How many, distributed evenly over the eight classes.
        seed: The same seed gives the same bytes.
        lab: Stain, illumination and optics; a name in `LABS`.
        size_px: Height and width.
        track: Shows progress.

    Returns:
        The folder.

    Raises:
        DataError: The folder is not empty, or a setting is out of range.
    """
    with files.new_folder(Path(out)) as folder:
        images = stream(num_images, seed=seed, size_px=size_px, lab=lab)
        for index, rgb in enumerate(track(images, "drawing phantoms", num_images)):
            files.write_picture(folder / class_of(index) / f"phantom_{index:06d}.png", rgb)
    return Path(out)


def class_of(index: int) -> str:
    """Return the class of the image at a position; the classes alternate."""
    return BLOOD_CLASSES[index % len(BLOOD_CLASSES)]


Job = tuple[int, int, int, int, str]


def _run(jobs: list[Job], num_workers: int) -> Iterator[Images]:
    if num_workers == 1:
        yield from map(_draw_batch, jobs)
        return
    with ProcessPoolExecutor(num_workers, get_context("spawn"), _begin_worker) as pool:
        for start in range(0, len(jobs), AHEAD):
            with _interrupts_held():  # processes start here and inherit the blocked signal
                batches = pool.map(_draw_batch, jobs[start : start + AHEAD])
            yield from batches


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Block SIGINT while processes start; they inherit the block and keep it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker() -> None:
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process handles it


def _draw_batch(job: Job) -> Images:
    seed, start, stop, size_px, lab = job
    images = np.empty((stop - start, size_px, size_px, 3), np.uint8)
    for index in range(start, stop):
        rng = np.random.default_rng((seed, index))
        images[index - start] = draw(rng, class_of(index), size_px=size_px, scene=LABS[lab])
    return images


def draw(
    rng: np.random.Generator,
    class_name: str,
    *,
    size_px: int = 96,
    scene: Scene = LABS["home"],
) -> Images:
    """Draw one cell among red cells.

    Args:
        rng: Random generator.
        class_name: One of `stainproof.labels.BLOOD_CLASSES`.
        size_px: Width and height, 28 to 224.
        scene: The laboratory.

    Returns:
        uint8 (size, size, 3), RGB.

    Raises:
        DataError: The class is unknown or the size is out of range.
    """
    _check_size(size_px)
    if class_name not in parts.ANATOMY:
        raise DataError(f"class {class_name!r} is unknown; allowed: {', '.join(BLOOD_CLASSES)}")
    if size_px < FINE_PX:
        large = draw(rng, class_name, size_px=2 * size_px, scene=scene)
        small = cv2.resize(large, (size_px, size_px), interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.uint8)
    canvas = Canvas(rng, size_px, size_px / scene.field_um)
    anatomy = parts.ANATOMY[class_name]
    radius_um = between(rng, anatomy.diameter_um) / 2
    centre_um = complex(*(0.7 * rng.standard_normal(2)).tolist())
    canvas.scatter_red_cells(centre_um, radius_um)
    if rng.random() < 0.2:
        beside_um = centre_um + (radius_um + 1.5 + 4 * rng.random()) * direction(rng)
        canvas.add_cell(parts.ANATOMY["platelet"], beside_um, 0.8 + 0.8 * rng.random())
    canvas.add_cell(anatomy, centre_um, radius_um)
    return expose(rng, canvas.amounts, scene)


def _check_size(size_px: int) -> None:
    low, high = SIZES_PX
    if not low <= size_px <= high:
        raise DataError(f"size_px must be from {low} to {high}, got {size_px}")


class Canvas:
    """Amounts of the three dyes in every pixel, painted from the bottom up."""

    def __init__(self, rng: np.random.Generator, size_px: int, px_per_um: float) -> None:
        self.rng = rng
        self.size_px = size_px
        self.px_per_um = px_per_um
        self.amounts = np.zeros((size_px, size_px, 3), np.float32)

    def scatter_red_cells(self, centre_um: complex, radius_um: float) -> None:
        """Paint red cells around the position of the white cell; some overlap."""
        shapes = red_cells(self.px_per_um)
        pink = np.zeros((self.size_px, self.size_px), np.float32)
        strength = 0.17 + 0.1 * self.rng.random()
        gap_um = 5.5 + 2 * self.rng.random()
        taken: list[complex] = []
        for x, y, kind in self.rng.random((20, 3)).tolist():
            place = complex(24 * x - 12, 24 * y - 12)
            if abs(place - centre_um) < radius_um + 2.9:
                continue
            if all(abs(place - other) > gap_um for other in taken):
                taken.append(place)
                _add(pink, shapes[int(kind * len(shapes))], self.to_px(place))
        pink *= strength
        cv2.merge([0.3 * pink, np.zeros_like(pink), pink], self.amounts)

    def add_cell(self, anatomy: Anatomy, centre_um: complex, radius_um: float) -> None:
        """Paint a cell body and its nucleus over what is there."""
        rng = self.rng
        outline = parts.blob(rng, radius_um, between(rng, anatomy.ragged))
        body = self.fill(centre_um + outline)
        if rng.random() < anatomy.vacuoles:
            self.pierce(body, centre_um, radius_um)
        nucleus = cv2.min(self.nucleus(anatomy, centre_um, radius_um), body)
        corner = rng.random(2)
        self.lay(body, anatomy.cytoplasm, corner)
        self.lay(nucleus, anatomy.chromatin, corner)

    def nucleus(self, anatomy: Anatomy, centre_um: complex, radius_um: float) -> Plane:
        """Return the nucleus as a mask."""
        rng = self.rng
        inner_um = radius_um * between(rng, anatomy.nucleus_share)
        shift_um = anatomy.off_centre * (radius_um - inner_um) * rng.random() ** 0.5
        centre_um += shift_um * direction(rng)
        if not anatomy.num_lobes:
            notch = between(rng, anatomy.notch)
            return self.fill(centre_um + parts.blob(rng, inner_um, 0.02 + 0.05 * notch, notch))
        num = anatomy.num_lobes[int(rng.random() * len(anatomy.num_lobes))]
        width_um = between(rng, anatomy.lobe_um)
        path, ovals = parts.lobes(rng, inner_um, width_um, num)
        mask = np.zeros((self.size_px, self.size_px), np.uint8)
        strand = 0.2 + 0.4 * rng.random() if ovals else 0.9
        thickness = max(1, round(width_um * strand * self.px_per_um))
        line = self.sixteenths(centre_um + path)
        cv2.polylines(mask, [line], False, 255, thickness, cv2.LINE_AA, 4)
        for middle, half in ovals:
            place = self.to_px(centre_um + middle)
            axes = (2 * abs(half) * self.px_per_um, width_um * self.px_per_um)
            box = ((place.real, place.imag), axes, float(np.degrees(np.angle(half))))
            cv2.ellipse(mask, box, 255, -1, cv2.LINE_AA)
        return mask

    def pierce(self, body: Plane, centre_um: complex, radius_um: float) -> None:
        """Cut vacuoles, round holes, into a body."""
        for _ in range(2 + int(8 * self.rng.random())):
            away_um = radius_um * (0.4 + 0.5 * self.rng.random()) * direction(self.rng)
            place = self.to_px(centre_um + away_um)
            width = (0.6 + 1.0 * self.rng.random() ** 2) * self.px_per_um
            box = ((place.real, place.imag), (width, width), 0.0)
            cv2.ellipse(body, box, 40, -1, cv2.LINE_AA)

    def fill(self, outline_um: Places) -> Plane:
        """Fill an outline; return a mask."""
        mask = np.zeros((self.size_px, self.size_px), np.uint8)
        cv2.fillPoly(mask, [self.sixteenths(outline_um)], 255, cv2.LINE_AA, 4)
        return mask

    def to_px(self, place_um: complex) -> complex:
        """Convert a position to pixels from the centre of the upper left pixel."""
        return place_um * self.px_per_um + (0.5 + 0.5j) * (self.size_px - 1)

    def sixteenths(self, places_um: Places) -> NDArray[np.int32]:
        """Convert positions to OpenCV's fixed-point pixels, (N, 2)."""
        pixels = places_um * self.px_per_um + (0.5 + 0.5j) * (self.size_px - 1)
        return (16 * pixels.view(np.float64).reshape(-1, 2)).astype(np.int32)

    def lay(self, mask: Plane, ends: tuple[Paint, Paint], corner: NDArray[np.float64]) -> None:
        """Replace the dyes inside the mask by a paint drawn between two.

        Chromatin is dense along the nuclear membrane.
        """
        matrix = ends[0].matrix + self.rng.random() * (ends[1].matrix - ends[0].matrix)
        left, top, width, height = cv2.boundingRect(mask)
        if width < 2 or height < 2:
            return
        frame = np.s_[top : top + height, left : left + width]
        name = ends[0].tile
        texture = tile(name, 2 * self.size_px, self.px_per_um)
        x, y = (corner * self.size_px).astype(int).tolist()
        piece = texture[y + top : y + top + height, x + left : x + left + width]
        if TILES[name].clumped:
            reach_px = 2 * round(0.3 * self.px_per_um) + 1
            around = cv2.blur(mask, (reach_px, reach_px))[frame]
            piece = piece.copy()
            piece[..., 1] = np.maximum(piece[..., 1], 2 - around * np.float32(2 / 255))
        painted = cv2.transform(piece, matrix)
        weight = mask[frame] * np.float32(1 / 255)
        self.amounts[frame] = cv2.blendLinear(painted, self.amounts[frame], weight, 1 - weight)


def _add(plane: NDArray[np.float32], piece: NDArray[np.float32], centre_px: complex) -> None:
    side, size = len(piece), len(plane)
    left, top = round(centre_px.real - side / 2), round(centre_px.imag - side / 2)
    right, bottom = min(left + side, size), min(top + side, size)
    x, y = max(left, 0), max(top, 0)
    if x < right and y < bottom:
        plane[y:bottom, x:right] += piece[y - top : bottom - top, x - left : right - left]
