import numpy as np
import pytest

from stainproof.deployment.drift import find_drift, holm
from stainproof.deployment.properties import PROPERTIES, measure_properties
from tests.common.cells import make_cells

NUM_FEATURES = 12


def draw(rng: np.random.Generator, num: int, shift: float = 0.0) -> np.ndarray:
    return (rng.normal(size=(num, NUM_FEATURES)) + shift).astype(np.float32)


def test_false_alarms_stay_below_the_level() -> None:
    rng = np.random.default_rng(0)
    alarms = 0
    for repeat in range(60):
        home, new = draw(rng, 150), draw(rng, 40)
        properties = draw(rng, 150)[:, :7], draw(rng, 40)[:, :7]
        alarms += (
            find_drift(home, new, *properties, seed=repeat, num_permutations=99).p_value < 0.05
        )
    assert alarms <= 7  # 5 % of 60 are 3; more than 7 have a probability of 1 %


def test_a_shift_is_found_and_named() -> None:
    rng = np.random.default_rng(1)
    home, new = draw(rng, 300), draw(rng, 60)
    darker = draw(rng, 60)[:, :7]
    darker[:, PROPERTIES.index("brightness")] -= 2
    drift = find_drift(home, new, draw(rng, 300)[:, :7], darker, seed=0)
    assert drift.p_value < 0.001
    assert drift.tests[0].name == "brightness"
    assert drift.tests[0].shift < -1.5


def test_a_shift_of_all_features_is_found() -> None:
    rng = np.random.default_rng(2)
    same = draw(rng, 300)[:, :7], draw(rng, 60)[:, :7]
    drift = find_drift(draw(rng, 300), draw(rng, 60, shift=0.8), *same, seed=0)
    assert drift.p_value < 0.01


def test_holm_multiplies_the_smallest_by_the_number_and_keeps_the_order() -> None:
    assert holm([0.01, 0.5, 0.02]) == pytest.approx([0.03, 0.5, 0.04])
    assert holm([0.6, 0.9]) == [1.0, 1.0]


def test_properties_follow_noise_size_and_brightness() -> None:
    cells, _ = make_cells(num_a_class=2, size_px=32, seed=0)
    noise = np.random.default_rng(0).integers(-40, 41, cells.shape)
    noisy = np.clip(cells.astype(int) + noise, 0, 255).astype(np.uint8)
    small = np.full_like(cells, 225)
    small[:, 12:20, 12:20] = cells[:, 12:20, 12:20]
    as_is, with_noise, smaller, darker = map(
        measure_properties, (cells, noisy, small, (cells * 0.7).astype(np.uint8))
    )
    column = {name: index for index, name in enumerate(PROPERTIES)}
    assert (with_noise[:, column["noise"]] > as_is[:, column["noise"]]).all()
    assert (smaller[:, column["cell size"]] < as_is[:, column["cell size"]]).all()
    assert (darker[:, column["brightness"]] < as_is[:, column["brightness"]]).all()
