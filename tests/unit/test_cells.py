"""Cells are found at known places of phantom fields, whatever lamp, stain and magnification."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from stainproof.cells import tiles
from stainproof.cells.cropping import crop
from stainproof.cells.crops import WINDOW_RED_CELLS, cut
from stainproof.cells.fields import Cell, find_cells
from stainproof.cells.scale import Scale, measure_scale, settle
from stainproof.data.image_file import MAX_PIXELS
from stainproof.data.images import Images
from stainproof.errors import DataError
from stainproof.synthetic.fields import PhantomCell, draw_field
from stainproof.synthetic.imaging import LABS

Drawn = tuple[Images, list[PhantomCell]]
WHITE = ("neutrophil", "lymphocyte", "monocyte")


def draw(seed: int = 0, labels: tuple[str, ...] = WHITE, **settings: Any) -> Drawn:
    return draw_field(np.random.default_rng(seed), labels, **{"size_px": 420, **settings})


def overlap(cell: Cell, truth: PhantomCell) -> float:
    x0, y0, x1, y1 = truth.box()
    width = min(cell.x1, x1) - max(cell.x0, x0)
    height = min(cell.y1, y1) - max(cell.y0, y0)
    both = max(0.0, width) * max(0.0, height)
    own = (cell.x1 - cell.x0) * (cell.y1 - cell.y0)
    return both / (own + (x1 - x0) * (y1 - y0) - both)


def num_found(cells: list[Cell], truths: list[PhantomCell], kind: str = "white") -> int:
    return sum(
        any(one.kind == kind and overlap(one, truth) > 0.5 for one in cells) for truth in truths
    )


@pytest.fixture(scope="module")
def field() -> Drawn:
    return draw()


@pytest.mark.parametrize("lab", ["home", "other"])
@pytest.mark.parametrize("seed", [0, 2])
def test_every_white_cell_is_found_and_nothing_else_is_one(lab: str, seed: int) -> None:
    rgb, truths = draw(seed, scene=LABS[lab])
    cells = find_cells(rgb)
    assert num_found(cells, truths) == 3
    assert sum(one.kind == "white" for one in cells) == 3


def test_a_field_of_red_cells_only_has_no_cells() -> None:
    rgb, _ = draw(labels=())
    assert find_cells(rgb) == []


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (60, 50), (4000, 2)])
def test_a_field_of_one_colour_has_no_cells(value: int, size: tuple[int, int]) -> None:
    assert find_cells(np.full((*size, 3), value, np.uint8)) == []


def test_noise_has_no_scale_of_white_cells() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert isinstance(find_cells(rgb), list)


def test_the_field_is_not_changed(field: Drawn) -> None:
    rgb = field[0].copy()
    find_cells(rgb)
    assert np.array_equal(rgb, field[0])


def test_the_same_field_gives_the_same_cells(field: Drawn) -> None:
    assert find_cells(field[0]) == find_cells(field[0])


@pytest.mark.parametrize("factor", [0.6, 2.0])
def test_magnification_does_not_matter(field: Drawn, factor: float) -> None:
    rgb, truths = field
    large = cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    scale = measure_scale(large).red_cell_px / measure_scale(rgb).red_cell_px
    assert scale == pytest.approx(factor, rel=0.1)
    scaled = [
        PhantomCell(one.label, factor * one.x_px, factor * one.y_px, factor * one.radius_px)
        for one in truths
    ]
    assert num_found(find_cells(large), scaled) == 3


@pytest.mark.parametrize(
    "gains", [(0.7, 0.7, 0.7), (1.0, 0.9, 0.6), (0.75, 0.85, 1.0)], ids=["dark", "yellow", "blue"]
)
def test_lamp_and_white_balance_do_not_matter(
    field: Drawn, gains: tuple[float, float, float]
) -> None:
    rgb, truths = field
    tinted = np.clip(rgb * np.array(gains), 0, 255).astype(np.uint8)
    assert num_found(find_cells(tinted), truths) == 3


def test_vignetting_does_not_matter(field: Drawn) -> None:
    rgb, truths = field
    y, x = np.mgrid[-1 : 1 : rgb.shape[0] * 1j, -1 : 1 : rgb.shape[1] * 1j]
    dim = (rgb * (1 - 0.2 * (x * x + y * y))[..., None]).astype(np.uint8)
    assert num_found(find_cells(dim), truths) == 3


def test_a_shift_moves_the_boxes(field: Drawn) -> None:
    rgb, truths = field
    moved = cv2.copyMakeBorder(rgb, 30, 0, 50, 0, cv2.BORDER_REPLICATE)
    places = [PhantomCell(one.label, one.x_px + 50, one.y_px + 30, one.radius_px) for one in truths]
    assert num_found(find_cells(moved), places) == 3


def test_a_cell_at_the_border_is_marked_as_cut(field: Drawn) -> None:
    rgb, truths = field
    left = round(truths[0].x_px)
    cells = find_cells(np.ascontiguousarray(rgb[:, left:]), measure_scale(rgb).red_cell_px)
    assert any(one.cut and one.x0 == 0 for one in cells)


def test_a_field_that_is_enlarged_in_tiles_has_the_same_cells(
    field: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    rgb = cv2.resize(np.tile(field[0], (2, 2, 1)), (420, 420), interpolation=cv2.INTER_AREA)
    whole = find_cells(rgb, 21.0)
    monkeypatch.setattr(tiles, "MAX_ENLARGED_PIXELS", 600**2)
    assert len(list(tiles.split(rgb.shape, 21.0))) == 16
    in_tiles = find_cells(rgb, 21.0)
    assert len(in_tiles) == len(whole) == 4 * len(field[1])
    for one, other in zip(in_tiles, whole, strict=True):
        assert (one.x0, one.y0, one.x1, one.y1) == pytest.approx(
            (other.x0, other.y0, other.x1, other.y1), abs=2
        )


@pytest.mark.parametrize("shape", [(4000, 3000), (40_000, 20), (20, 8000), (1, 1)])
@pytest.mark.parametrize("red_cell_px", [4.0, 22.5, 40.0])
def test_the_cores_of_tiles_cover_a_field_once(shape: tuple[int, int], red_cell_px: float) -> None:
    num_owners = np.zeros(shape, np.uint8)
    for tile in tiles.split(shape, red_cell_px):
        num_owners[slice(*tile.core_rows), slice(*tile.core_columns)] += 1
        size = [part.stop - part.start for part in (tile.rows, tile.columns)]
        if red_cell_px < 40:
            assert size[0] * size[1] * (40 / red_cell_px) ** 2 <= tiles.MAX_ENLARGED_PIXELS
    assert (num_owners == 1).all()


def test_a_field_above_64_megapixels_is_refused() -> None:
    rgb = np.broadcast_to(np.uint8(0), (MAX_PIXELS + 1, 1, 3))
    with pytest.raises(DataError, match="64 megapixels"):
        find_cells(rgb)


@pytest.mark.parametrize("diameter", [0.0, -1.0, 3.9, 4001.0, float("nan")])
def test_an_impossible_red_cell_is_refused(field: Drawn, diameter: float) -> None:
    with pytest.raises(DataError, match="red_cell_px"):
        find_cells(field[0], diameter)


def test_doubtful_scales_take_the_median_of_the_set() -> None:
    sure = [Scale(size, "red cells") for size in (40.0, 41.0, 42.0)]
    doubtful = [
        Scale(70.0, "red cells", is_sure=False),
        Scale(43.0, "red cells", is_sure=False),
        Scale(20.0, "nuclei", is_sure=False),
        Scale(0.0, "none", is_sure=False),
    ]
    settled = settle([*sure, *doubtful])
    assert [one.red_cell_px for one in settled] == [40, 41, 42, 42, 43, 42, 42]


def test_a_crop_shows_the_cell_in_its_middle_at_the_standard_scale() -> None:
    rgb = np.full((200, 200, 3), 220, np.uint8)
    rgb[90:110, 40:60] = 30
    crop_rgb = cut(rgb, Cell(40, 90, 60, 110), red_cell_px=20)
    dark = np.argwhere(crop_rgb[..., 0] < 125)
    assert crop_rgb.shape == (96, 96, 3)
    assert dark.mean(axis=0) == pytest.approx([47.5, 47.5], abs=1.5)
    assert len(dark) ** 0.5 == pytest.approx(96 / WINDOW_RED_CELLS, rel=0.05)


def test_outside_the_field_a_crop_has_the_background() -> None:
    rgb = np.full((100, 100, 3), (240, 230, 200), np.uint8)
    crop_rgb = cut(rgb, Cell(0, 0, 10, 10), red_cell_px=30)
    assert np.abs(crop_rgb.astype(int) - [240, 230, 200]).max() <= 2


def test_crop_writes_images_and_a_manifest(tmp_path: Path, field: Drawn) -> None:
    rgb, truths = field
    fields = tmp_path / "fields" / "deep"
    fields.mkdir(parents=True)
    Image.fromarray(rgb).save(fields / "one.png")
    Image.fromarray(draw(labels=())[0]).save(fields / "empty.png")
    (fields / "broken.png").write_bytes(b"no image")
    lines: list[str] = []
    summary = crop(tmp_path / "fields", tmp_path / "cells", say=lines.append)
    rows = (tmp_path / "cells" / "cells.csv").read_text().splitlines()
    assert rows[0].startswith("field,x0,y0,x1,y1,score,file,")
    assert summary.num_cells == len(rows) - 1 >= len(truths)
    assert (summary.num_fields, summary.num_empty, len(summary.errors)) == (2, 1, 1)
    assert any("1 fields without cells" in line for line in lines)
    assert any(line.startswith("1 fields skipped; first: ") for line in lines)
    for row in rows[1:]:
        assert Image.open(tmp_path / "cells" / row.split(",")[6]).size == (96, 96)


def test_crop_takes_given_boxes(tmp_path: Path, field: Drawn) -> None:
    Image.fromarray(field[0]).save(tmp_path / "one.png")
    (tmp_path / "boxes.csv").write_text("file,x0,y0,x1,y1\none.png,50,50,90,90\n")
    summary = crop(tmp_path / "one.png", tmp_path / "cells", boxes=tmp_path / "boxes.csv")
    assert summary.num_cells == 1
    assert "50.0,50.0,90.0,90.0" in (tmp_path / "cells" / "cells.csv").read_text()


def test_boxes_outside_their_field_are_counted_and_refused_if_all_are(tmp_path: Path) -> None:
    Image.fromarray(np.full((80, 100, 3), 230, np.uint8)).save(tmp_path / "one.png")
    lost = "one.png,200,50,290,90\none.png,0.1,0.1,0.5,0.5\n"
    settings: dict[str, Any] = {"boxes": tmp_path / "boxes.csv", "red_cell_px": 40.0}
    settings["boxes"].write_text(f"file,x0,y0,x1,y1\none.png,50,50,90,90\n{lost}")
    lines: list[str] = []
    summary = crop(tmp_path / "one.png", tmp_path / "cells", **settings, say=lines.append)
    assert (summary.num_cells, summary.num_lost_boxes) == (1, 2)
    assert "2 boxes skipped: outside their field or below 1 pixel" in lines
    settings["boxes"].write_text(f"file,x0,y0,x1,y1\n{lost}")
    with pytest.raises(DataError, match=r"boxes\.csv: all 2 boxes lie outside"):
        crop(tmp_path / "one.png", tmp_path / "none", **settings)
    assert not (tmp_path / "none").exists()


def test_boxes_of_other_fields_are_refused_and_nothing_is_written(
    tmp_path: Path, field: Drawn
) -> None:
    Image.fromarray(field[0]).save(tmp_path / "one.png")
    (tmp_path / "boxes.csv").write_text("file,x0,y0,x1,y1\nother.png,50,50,90,90\n")
    with pytest.raises(DataError, match="no box is of one of these fields"):
        crop(tmp_path / "one.png", tmp_path / "cells", boxes=tmp_path / "boxes.csv")
    assert not (tmp_path / "cells").exists()
