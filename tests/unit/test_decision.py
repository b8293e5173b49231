"""Which zoom a profile applies, and when it is not trusted."""

import math

import pytest

from stainproof.runs.appearance import Appearance, Measure
from stainproof.shift.decision import Decision, decide, read_rulers


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


def decide_on(source: Appearance) -> Decision:
    return decide(source.num_images, read_rulers(source, HOME), None)


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.5, 2.0])
def test_the_zoom_undoes_the_magnification(scale: float) -> None:
    found = decide_on(appearance(-math.log(scale), 0.33 / scale))
    assert found.trusted
    assert found.scale == pytest.approx(scale, abs=1e-3)


def test_a_scale_near_that_of_the_training_images_stays_one() -> None:
    found = decide_on(appearance(0.04, 0.34))
    assert (found.scale, found.trusted) == (1.0, True)


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
def test_a_doubtful_scale_is_not_applied_and_one_line_says_why(
    source: Appearance, reason: str
) -> None:
    found = decide_on(source)
    assert (found.scale, found.trusted) == (1.0, False)
    assert reason in found.reasons[0]


def test_red_cells_that_were_hardly_found_do_not_count() -> None:
    source, few = appearance(0.3), appearance(0.3, 0.9, known=5)
    red = {**source.measures, "red_cell_diameter": few.measures["red_cell_diameter"]}
    assert decide_on(source.model_copy(update={"measures": red})).trusted


def test_without_a_measured_magnification_nothing_is_changed() -> None:
    assert not decide(64, [], None).trusted
