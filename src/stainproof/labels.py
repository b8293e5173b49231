"""Class names: the eight classes of BloodMNIST, and matching of spellings."""

import re
import unicodedata
from collections.abc import Sequence

from stainproof.errors import DataError

BLOOD_CLASSES: tuple[str, ...] = (
    "basophil",
    "eosinophil",
    "erythroblast",
    "ig",
    "lymphocyte",
    "monocyte",
    "neutrophil",
    "platelet",
)
"""BloodMNIST's order (Yang et al. 2023, MedMNIST v2); `ig` is the immature granulocyte."""
TABLE_COLUMNS = ("name", "label", "error")
"""Columns of a table of predictions besides one for each class."""

_SPELLINGS = {
    "immature granulocyte": "ig",
    "immature granulocytes": "ig",
    "immature granulocytes(myelocytes, metamyelocytes and promyelocytes)": "ig",
}


_CELL_STEMS = re.compile(
    "basophil|eosinophil|neutrophil|erythro|normoblast|granulocyt|myelocyt|myelobl|blast|lymph|"
    "monocyt|platelet|thrombocyt|smudge|plasma.?cell|megakaryo|reticulocyt|leu[ck]ocyt|artefact|"
    "artifact|segmented|nrbc"
)
_ABBREVIATIONS = frozenset({
    "ba", "bas", "baso", "eo", "eos", "ig", "ly", "lym", "lyt", "lymph", "mo", "mon", "mono", "ne",
    "neu", "neut", "seg", "band", "plt", "erb", "ebo", "my", "myo", "myb", "mmy", "meta", "pmo",
    "pmy", "sne", "bne", "ngs", "ngb", "rbc", "wbc",
})  # fmt: skip


def looks_like_cell(name: str) -> bool:
    """Return whether a folder name is that of a kind of blood cell, or a common abbreviation."""
    lowered = name.strip().lower()
    return bool(_CELL_STEMS.search(lowered)) or lowered in _ABBREVIATIONS


def normal_form(name: str) -> str:
    """Return a class name without case, punctuation, order of words and plural.

    Letters of all scripts count. A name without a letter or digit gives an empty text.
    """
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", name).casefold())
    singular = (word.removesuffix("s") if len(word) > 3 else word for word in words)
    return " ".join(sorted(set(singular)))


def canonical(name: str) -> str:
    """Return the normalised form of a class name: lower case, singular, one name for `ig`."""
    lowered = name.strip().lower().replace("_", " ")
    if lowered in _SPELLINGS:
        return _SPELLINGS[lowered]
    singular = lowered.removesuffix("s")
    return singular if singular in BLOOD_CLASSES else lowered


def match_classes(
    names: Sequence[str], known: Sequence[str], whose: str = "the model"
) -> list[int]:
    """Find the position of each class name in a list of known ones, ignoring the spelling.

    Args:
        names: Class names of a source, for instance of a test set with fewer classes.
        known: Class names of a model, in the order of its outputs.
        whose: Owner of the known classes, for the error message.

    Returns:
        The position in `known` of every name.

    Raises:
        DataError: A name is not among the known classes.
    """
    exact = {name: index for index, name in enumerate(known)}
    positions = {canonical(name): index for index, name in enumerate(known)}
    found = [exact.get(name, positions.get(canonical(name))) for name in names]
    unknown = [name for name, position in zip(names, found, strict=True) if position is None]
    if unknown:
        which = ("class " if len(unknown) == 1 else "classes ") + ", ".join(map(repr, unknown))
        raise DataError(
            f"{which} unknown to {whose}; allowed: {', '.join(known)}; rename or leave out classes "
            "with --map, such as --map haematology"
        )
    return [position for position in found if position is not None]
