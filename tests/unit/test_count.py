from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest

from stainproof.errors import ConfigError, DataError
from stainproof.evaluation.count import count_cells
from stainproof.evaluation.count_result import Count
from stainproof.evaluation.counter import read_confirmed
from stainproof.evaluation.misclassification import ErrorCounts
from stainproof.labels import BLOOD_CLASSES
from stainproof.shift.lab import Lab

ERRORS = ErrorCounts(BLOOD_CLASSES, np.eye(8, dtype=np.int64) * 100 + 1, "validation")
MIX = {"neutrophil": 60, "lymphocyte": 30, "monocyte": 10, "erythroblast": 5, "platelet": 3}


def cells(mix: dict[str, int], confidence: float = 0.93) -> NDArray[np.float64]:
    """Return probabilities of cells that are predicted as the classes of a mix."""
    labels = [BLOOD_CLASSES.index(name) for name, num in mix.items() for _ in range(num)]
    probs = np.full((len(labels), 8), (1 - confidence) / 7)
    probs[np.arange(len(labels)), labels] = confidence
    return probs


def count(mix: dict[str, int], **options: object) -> Count:
    return count_cells(cells(mix), BLOOD_CLASSES, ERRORS, **options)  # type: ignore[arg-type]


def test_percentages_are_of_white_cells_and_the_others_are_per_100_of_them() -> None:
    found = count(MIX)
    assert found.num_white == 100
    white = {name: one for name, one in found.classes.items() if one.kind != "apart"}
    assert {name for name, one in found.classes.items() if one.kind == "apart"} == {
        "erythroblast", "platelet",
    }  # fmt: skip
    assert sum(one.percent or 0 for one in white.values()) == pytest.approx(100)
    assert found.classes["neutrophil"].percent == pytest.approx(60)
    assert found.classes["erythroblast"].percent == pytest.approx(5)
    assert sum(one.num for one in found.classes.values()) == found.num_cells == 108


def test_every_interval_includes_its_percentage() -> None:
    for one in count(MIX).classes.values():
        assert one.percent is not None and one.low is not None and one.high is not None
        assert 0 <= one.low <= one.percent <= one.high


def test_confirmed_cells_have_exact_binomial_intervals() -> None:
    mix = {"neutrophil": 95, "lymphocyte": 5, "erythroblast": 20}
    labels = [name for name, num in mix.items() for _ in range(num)]
    found = count(mix, confirmed=dict(enumerate(labels)))
    one = found.classes["lymphocyte"]
    exact = binomtest(5, 100).proportion_ci(0.95, method="exact")
    assert (one.low, one.high) == pytest.approx((100 * exact.low, 100 * exact.high), abs=1e-4)
    apart, odds = found.classes["erythroblast"], binomtest(20, 120).proportion_ci(0.95, "exact")
    assert apart.high == pytest.approx(100 * odds.high / (1 - odds.high), abs=1e-3)
    assert "exact binomial" in found.assumption


def test_confirmed_cells_make_the_interval_narrower() -> None:
    labels = [name for name, num in MIX.items() for _ in range(num)]
    widths = [
        count(MIX, confirmed=dict(list(enumerate(labels))[::step])).classes["neutrophil"].half_width
        for step in (1000, 2, 1)
    ]
    assert widths[0] > widths[1] > widths[2]


def test_a_correction_moves_a_cell_to_its_class_also_to_one_that_the_model_does_not_know() -> None:
    found = count(MIX, confirmed={0: "Lymphocytes", 1: "blast", 2: "artefact"})
    assert found.classes["neutrophil"].num == 57
    assert found.classes["lymphocyte"].num == 31
    assert found.classes["blast"].num == found.classes["blast"].num_confirmed == 1
    assert found.classes["blast"].kind == "white"
    assert found.classes["artefact"].kind == "apart"
    assert (found.num_white, found.num_confirmed) == (99, 3)


def test_spellings_and_synonyms_of_confirmed_classes_are_one_class() -> None:
    written = ["Blast", "blast", "Unclassified", "artifact", "Artefacts", "nrbc", "thrombocyte"]
    found = count({"neutrophil": 100}, confirmed=dict(enumerate(written)))
    num = {name: one.num for name, one in found.classes.items() if one.num}
    assert num == {
        "neutrophil": 93, "erythroblast": 1, "platelet": 1, "blast": 2, "artefact": 2,
        "unclassified": 1,
    }  # fmt: skip
    assert found.num_white == 93 + 2 + 1


def test_a_table_may_have_two_spellings_of_a_class(tmp_path: Path) -> None:
    table = tmp_path / "cells.csv"
    table.write_text("name,confirmed\na.png,Blast\nb.png,blast\n")
    labels = {name: one.label for name, one in read_confirmed(table).items()}
    assert labels == {"a.png": "Blast", "b.png": "blast"}


def test_a_confirmed_class_of_the_model_has_the_models_spelling() -> None:
    classes = ("Neutrophils", "NRBC", "Thrombocyte")
    errors = ErrorCounts(classes, np.eye(3, dtype=np.int64) * 100 + 1, "validation")
    written = {0: "neutrophil", 1: "normoblast", 2: "platelets"}
    found = count_cells(np.tile([0.9, 0.05, 0.05], (5, 1)), classes, errors, confirmed=written)
    kinds = {name: (one.num, one.kind) for name, one in found.classes.items()}
    assert kinds == {
        "Neutrophils": (3, "white"), "NRBC": (1, "apart"), "Thrombocyte": (1, "apart"),
        "unclassified": (0, "unclassified"),
    }  # fmt: skip


def test_cells_below_the_threshold_are_unclassified_until_they_are_confirmed() -> None:
    probs = np.concatenate([cells({"neutrophil": 90}), cells({"monocyte": 10}, confidence=0.4)])
    found = count_cells(probs, BLOOD_CLASSES, ERRORS)
    assert found.classes["unclassified"].num == 10
    assert found.classes["monocyte"].num == 0
    assert found.classes["neutrophil"].percent == pytest.approx(90)
    assert count_cells(probs, BLOOD_CLASSES, ERRORS, threshold=0).classes["monocyte"].num == 10
    known = dict.fromkeys(range(90, 100), "monocyte")
    found = count_cells(probs, BLOOD_CLASSES, ERRORS, confirmed=known)
    assert found.classes["unclassified"].num == 0
    assert found.classes["monocyte"].num == 10


def test_a_person_can_take_a_cell_out_of_its_class() -> None:
    found = count(MIX, confirmed={0: "unclassified"})
    assert found.classes["unclassified"].num == 1
    assert found.classes["neutrophil"].num == 59
    assert (found.num_white, found.num_confirmed) == (100, 0)


def test_more_cells_settle_a_count_until_the_errors_are_too_little_known() -> None:
    found = count(MIX)
    assert found.unsettled and found.num_more and found.num_more > 50
    enough = {name: num * (found.num_more + 120) // 100 for name, num in MIX.items()}
    assert count(enough).num_more == 0
    unknown = ErrorCounts(BLOOD_CLASSES, np.eye(8, dtype=np.int64) + 1, "few cells")
    assert count_cells(cells(MIX), BLOOD_CLASSES, unknown).num_more is None
    assert count(MIX, margin_points=20).needed.startswith("Every interval")


def test_few_cells_unreadable_images_and_an_untrusted_laboratory_are_warnings() -> None:
    assert count(MIX).warnings == ()
    lab = Lab(trusted=False, reasons=("cells too small",))
    found = count({"neutrophil": 99}, num_unreadable=2, lab=lab, warnings=["drift"])
    text = "; ".join(found.warnings)
    for part in ("99 white cells", "2 images could not be read", "cells too small", "drift"):
        assert part in text


def test_a_model_that_is_less_sure_than_at_home_gives_wider_intervals_and_a_warning() -> None:
    surer = replace(ERRORS, mean_confidence=0.99)
    widths = []
    for confidence in (0.97, 0.7):
        found = count_cells(cells(MIX, confidence), BLOOD_CLASSES, surer, margin_points=100)
        widths.append(found.classes["neutrophil"].half_width)
        assert any("less sure" in line for line in found.warnings) == (confidence < 0.9)
    assert widths[1] > 1.5 * widths[0]


def test_errors_measured_before_calibrating_are_a_warning_unless_all_cells_are_confirmed() -> None:
    earlier = replace(ERRORS, is_recalibrated=True)
    (warning,) = count_cells(cells(MIX), BLOOD_CLASSES, earlier).warnings
    assert "evaluate it again" in warning
    labels = [name for name, num in MIX.items() for _ in range(num)]
    found = count_cells(cells(MIX), BLOOD_CLASSES, earlier, confirmed=dict(enumerate(labels)))
    assert found.warnings == ()


def test_the_assumption_names_the_cells_on_which_the_errors_were_measured() -> None:
    assert "validation (864 labelled cells)" in count(MIX).assumption
    assert "another laboratory" in count(MIX).assumption
    away = ErrorCounts(BLOOD_CLASSES, ERRORS.confusion, "here", is_home=False, borrowed=("ig",))
    found = count_cells(cells(MIX), BLOOD_CLASSES, away)
    assert "has no ig" in found.assumption
    assert "another laboratory" not in found.assumption


def test_without_a_white_cell_there_is_no_percentage() -> None:
    found = count({"platelet": 7})
    assert {one.percent for one in found.classes.values()} == {None}
    assert found.classes["platelet"].num == 7
    assert "0 white cells" in found.warnings[0]


def test_the_file_is_read_as_it_was_written_and_the_same_seed_gives_the_same(
    tmp_path: Path,
) -> None:
    first, second = (count(MIX, seed=3) for _ in range(2))
    assert first.classes == second.classes
    first.write(tmp_path / "count.json")
    assert Count.read(tmp_path / "count.json") == first
    assert "neutrophil" in str(first)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.5}, "threshold must be 0 to 1, got 1.5"),
        ({"margin_points": 0}, "margin must be above 0"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"confirmed": {500: "ig"}}, "confirmed cell 500 does not exist"),
    ],
)
def test_a_value_out_of_range_is_named(options: dict[str, object], message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        count(MIX, **options)


def test_no_cell_is_an_error() -> None:
    with pytest.raises(DataError, match="no cell"):
        count_cells(np.empty((0, 8)), BLOOD_CLASSES, ERRORS)
