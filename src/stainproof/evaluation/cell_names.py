"""Names of cells in a count: their synonyms, and which of them are white cells."""

from functools import cache

from stainproof.data.class_map import haematology_map
from stainproof.evaluation.count_result import UNCLASSIFIED
from stainproof.labels import canonical, normal_form

APART = frozenset({"erythroblast", "platelet", "artefact", "erythrocyte"})
"""Classes that are not white cells; they are given per 100 white cells."""
_SYNONYMS = {
    "artefact": ("artefact", "artifact", "debris"),
    "erythrocyte": ("erythrocyte", "red blood cell", "red cell", "RBC"),
    "platelet": ("thrombocyte aggregation", "platelet clump", "PLT clump"),
    UNCLASSIFIED: (UNCLASSIFIED, "not classified"),
}
"""Names besides those that the packaged class map knows for erythroblasts and platelets."""


def cell_name(name: str) -> str:
    """Return one name for all spellings of a class, and for synonyms of one that is not white.

    `NRBC` and `normoblast` are `erythroblast`, `PLT` is `platelet`, `Artifacts` is `artefact`;
    other names are only written in the same way, see `labels.canonical`. White cells have no
    synonyms here, so that band and segmented neutrophils can be counted apart.
    """
    return _names().get(normal_form(name), canonical(name))


def is_white(name: str) -> bool:
    """Return whether cells of a class are white cells."""
    return cell_name(name) not in (*APART, UNCLASSIFIED)


@cache
def _names() -> dict[str, str]:
    """Return the normal form of each synonym -> the name of its class."""
    targets = haematology_map().targets()
    own = {normal_form(name): to for to, names in _SYNONYMS.items() for name in names}
    return own | {name: to for name, to in targets.items() if to in APART}
