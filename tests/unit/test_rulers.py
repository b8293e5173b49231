"""Which zoom the rulers find together, and when it is not trusted."""

import math

import pytest

from stainproof.runs.appearance import Appearance, Measure
from stainproof.shift.rulers import MeasuredScale, combine, read_rulers


def appearance(
    magnification: float = 0.0,
    red_px: float = 0.33,
    *,
    num: int = 64,
    spread: float = 0.1,
    known: int | None = None,
) -> Appearance:
    def measure(value: float, spread: float) -> Measure:
        return Measure(
            values=(value,), spread=(spread,), num_images=num if known is None else known, how="x"
        )

    return Appearance(
        num_images=num,
        measures={
            "magnification": measure(magnification, spread),
            "red_cell_diameter": measure(red_px, spread * red_px),
        },
    )


HOME = appearance()


def measure(source: Appearance) -> MeasuredScale:
    return combine(source.num_images, read_rulers(source, HOME))


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.5, 2.4])
def test_the_zoom_undoes_the_magnification(scale: float) -> None:
    found = measure(appearance(-math.log(scale), 0.33 / scale))
    assert not found.refusal
    assert math.exp(found.log_scale) == pytest.approx(scale, abs=1e-3)


def test_the_zoom_lies_between_those_of_the_rulers_and_its_error_is_less() -> None:
    found = measure(appearance(-0.5, 0.33 / math.exp(0.3)))
    assert found.log_scale == pytest.approx(0.4, abs=0.01)
    assert found.error < min(one.error for one in read_rulers(appearance(), HOME))


def test_red_cells_count_alone_where_the_scale_head_is_unsure() -> None:
    """As for windows of fields in which cells are small: the head sees them at home's size."""
    unsure, clear = appearance(0.0, spread=0.5), appearance(0.0, 0.22)
    source = {**clear.measures, "magnification": unsure.measures["magnification"]}
    found = measure(clear.model_copy(update={"measures": source}))
    assert not found.refusal
    assert math.exp(found.log_scale) == pytest.approx(1.5, abs=0.01)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (appearance(0.3, num=15), "15 images, 16 are needed"),
        (appearance(0.3, known=20), "found in 20 of 64 images only"),
        (appearance(0.3, spread=1.0), "differs by 100 % between images"),
        (appearance(1.2, 0.9), "outside of the range"),
        (appearance(0.4, 0.15), "disagree"),
    ],
)
def test_a_doubtful_scale_is_not_trusted_and_one_line_says_why(
    source: Appearance, reason: str
) -> None:
    assert reason in measure(source).refusal


def test_red_cells_that_were_hardly_found_do_not_count() -> None:
    source, few = appearance(0.3), appearance(0.3, 0.9, known=5)
    red = {**source.measures, "red_cell_diameter": few.measures["red_cell_diameter"]}
    found = measure(source.model_copy(update={"measures": red}))
    assert found.log_scale == pytest.approx(-0.3)
    assert not found.refusal


def test_without_a_measured_magnification_the_scale_is_not_trusted() -> None:
    assert combine(64, []).refusal
