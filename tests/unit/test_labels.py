from typing import Any

import pytest

from stainproof.errors import DataError
from stainproof.labels import BLOOD_CLASSES, canonical, match_classes


def test_the_order_is_bloodmnists() -> None:
    assert BLOOD_CLASSES == (
        "basophil", "eosinophil", "erythroblast", "ig",
        "lymphocyte", "monocyte", "neutrophil", "platelet",
    )  # fmt: skip


@pytest.mark.parametrize("name", BLOOD_CLASSES)
@pytest.mark.parametrize("write", [str, str.upper, str.title, "{}s".format, " {} ".format])
def test_case_number_and_blanks_do_not_matter(name: str, write: Any) -> None:
    assert canonical(write(name)) == name


@pytest.mark.parametrize(
    "name",
    [
        "IG",
        "immature granulocyte",
        "Immature Granulocytes",
        "immature_granulocyte",
        "immature_granulocytes",
        "immature granulocytes(myelocytes, metamyelocytes and promyelocytes)",
    ],
)
def test_the_immature_granulocyte_has_many_names(name: str) -> None:
    assert canonical(name) == "ig"


def test_other_names_keep_their_s() -> None:
    assert canonical("Blasts") == "blasts"


def test_classes_are_found_whatever_their_order_number_and_spelling() -> None:
    assert match_classes(["Platelets", "IMMATURE GRANULOCYTE", "basophil"], BLOOD_CLASSES) == [
        7, 3, 0
    ]  # fmt: skip
    assert match_classes([], BLOOD_CLASSES) == []


def test_a_model_may_know_other_classes() -> None:
    assert match_classes(["Blast"], ["smudge", "blast"]) == [1]


def test_an_unknown_class_is_named_with_those_that_are_known() -> None:
    with pytest.raises(DataError, match="classes 'blast', 'cat' unknown to the model; allowed"):
        match_classes(["ig", "blast", "cat"], ["ig", "mono"])


def test_a_name_as_it_is_goes_before_another_spelling() -> None:
    known = ["Neutrophil", "neutrophil", "ig"]
    assert match_classes(["Neutrophil", "neutrophil", "IG"], known) == [0, 1, 2]
