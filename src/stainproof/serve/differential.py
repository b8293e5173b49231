"""The differential count: classes among white cells, as a haematologist reports them."""

from collections import Counter
from collections.abc import Iterable, Sequence

from pydantic import BaseModel
from scipy.stats import binomtest

from stainproof.evaluation.intervals import CONFIDENCE
from stainproof.labels import canonical

UNCLASSIFIED = "unclassified"
FEW_CELLS = 100
"""White cells below which a differential is not to be reported (CLSI H20: 100 to 200)."""
APART = ("erythroblast", "platelet")
"""Classes that are no white cells and are counted apart."""
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
"""Codes of cells per 100 leukocytes in blood without a stated method, those of the panel 24318-8,
Manual Differential (https://loinc.org/24318-8); the codes of automated counts, such as 770-8, do
not fit a count that a person reviewed. `ig` and `erythroblast` are not members of that panel."""


class ClassCount(BaseModel):
    """One class of a differential."""

    num: int
    percent: float
    """Per 100 white cells."""
    low: float
    high: float
    """The 95 % interval of `percent`."""


class Differential(BaseModel):
    """A differential count."""

    classes: dict[str, ClassCount]
    """White cells by class."""
    per_100_white: dict[str, ClassCount]
    """Erythroblasts and platelets, which are outside the denominator."""
    num_white: int
    num_unclassified: int
    num_reviewed: int
    """Cells whose class a person decided."""
    num_cells: int
    is_small: bool
    """Whether there are fewer white cells than a differential needs."""


def ordered(classes: Iterable[str]) -> list[str]:
    """Return classes in the order of a differential."""
    rank = {name: index for index, name in enumerate(ORDER)}
    return sorted(classes, key=lambda name: (rank.get(canonical(name), len(ORDER)), name))


def title(name: str) -> str:
    """Return the name of a class as it is shown."""
    return TITLES.get(canonical(name), name)


def is_white(name: str) -> bool:
    """Return whether cells of a class are white cells."""
    return canonical(name) not in (*APART, UNCLASSIFIED)


def differential(
    classes: Sequence[str], labels: Sequence[str], num_reviewed: int = 0
) -> Differential:
    """Count cells by class.

    Args:
        classes: The classes of the model.
        labels: One class for each cell, or `unclassified`.
        num_reviewed: Cells whose class a person decided.
    """
    num = Counter(labels)
    white = [name for name in ordered(classes) if is_white(name)]
    apart = [name for name in ordered(classes) if not is_white(name)]
    num_white = sum(num[name] for name in white)
    return Differential(
        classes={name: share(num[name], num_white) for name in white},
        per_100_white={name: ratio(num[name], num_white) for name in apart},
        num_white=num_white,
        num_unclassified=num[UNCLASSIFIED],
        num_reviewed=num_reviewed,
        num_cells=len(labels),
        is_small=num_white < FEW_CELLS,
    )


def share(num: int, num_white: int) -> ClassCount:
    """Return a class among white cells with its exact interval (Clopper and Pearson 1934)."""
    if not num_white:
        return ClassCount(num=num, percent=0, low=0, high=100)
    interval = binomtest(num, num_white).proportion_ci(CONFIDENCE, method="exact")
    return ClassCount(
        num=num, percent=100 * num / num_white, low=100 * interval.low, high=100 * interval.high
    )


def ratio(num: int, num_white: int) -> ClassCount:
    """Return cells per 100 white cells; the interval follows from the share among both kinds."""
    if not num_white:
        return ClassCount(num=num, percent=0, low=0, high=100)
    interval = binomtest(num, num + num_white).proportion_ci(CONFIDENCE, method="exact")
    low, high = (p / (1 - p) if p < 1 else 1.0 for p in (interval.low, interval.high))
    return ClassCount(num=num, percent=100 * num / num_white, low=100 * low, high=100 * high)
