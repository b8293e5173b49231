"""Classes as a haematologist reports them: their order, their names, their LOINC codes."""

from collections.abc import Iterable

from stainproof.labels import canonical

ORDER = (
    "neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil", "ig", "erythroblast",
    "platelet",
)  # fmt: skip
"""The usual order of a differential; other classes follow."""
TITLES = {"ig": "immature granulocyte"}
LOINC = {
    "neutrophil": "26511-6",
    "lymphocyte": "26478-8",
    "monocyte": "26485-3",
    "eosinophil": "26450-7",
    "basophil": "30180-4",
    "ig": "38518-7",
    "erythroblast": "19048-8",
}
"""Codes of cells per 100 leukocytes in blood without a stated method: the five classes are those of
the panel 24318-8, Manual Differential (https://loinc.org/24318-8), the other two are outside it.
Codes of automated counts, such as 770-8, do not fit a count that a person reviews."""


def ordered(classes: Iterable[str]) -> list[str]:
    """Return classes in the order of a differential."""
    rank = {name: index for index, name in enumerate(ORDER)}
    return sorted(classes, key=lambda name: (rank.get(canonical(name), len(ORDER)), name))


def title(name: str) -> str:
    """Return the name of a class as it is shown."""
    return TITLES.get(canonical(name), name)


def loinc_codes(classes: Iterable[str]) -> dict[str, str]:
    """Return class -> LOINC code, for the classes that have one."""
    return {name: LOINC[canonical(name)] for name in classes if canonical(name) in LOINC}
