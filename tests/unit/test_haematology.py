import pytest

from stainproof.evaluation.cell_names import is_white
from stainproof.labels import BLOOD_CLASSES
from stainproof.serve.haematology import loinc_codes, ordered, title


def test_classes_are_in_the_order_of_a_differential_and_unknown_ones_follow() -> None:
    assert ordered(["smudge cell", *BLOOD_CLASSES]) == [
        "neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil", "ig", "erythroblast",
        "platelet", "smudge cell",
    ]  # fmt: skip


def test_spellings_of_a_class_have_one_title_and_one_code() -> None:
    assert title("ig") == title("Immature Granulocytes") == "immature granulocyte"
    assert loinc_codes(["Neutrophils", "platelet"]) == {"Neutrophils": "26511-6"}


def test_erythroblasts_platelets_and_unclassified_cells_are_no_class_of_white_cells() -> None:
    others = [name for name in (*BLOOD_CLASSES, "unclassified") if not is_white(name)]
    assert others == ["erythroblast", "platelet", "unclassified"]


@pytest.mark.parametrize(
    "name",
    ["Artefacts", "artifact", "NRBC", "normoblasts", "Thrombocyte", "PLT", "RBCs", "Unclassified"],
)
def test_synonyms_of_a_class_that_is_not_white_are_not_white(name: str) -> None:
    assert not is_white(name)


@pytest.mark.parametrize("name", ["blast", "Plasma cell", "band", "smudge cell", "芽球"])
def test_other_names_are_of_white_cells(name: str) -> None:
    assert is_white(name)


def test_the_check_digits_of_the_codes_are_right() -> None:
    for code in loinc_codes(BLOOD_CLASSES).values():
        digits, check = code.split("-")
        doubled = [int(d) * (2 - i % 2) for i, d in enumerate(reversed(digits))]
        assert (-sum(sum(divmod(d, 10)) for d in doubled)) % 10 == int(check)
