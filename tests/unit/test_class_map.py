"""Class maps: rename, merge and leave out classes."""

from pathlib import Path

import numpy as np
import pytest

from stainproof.data.class_map import ClassMap, apply_class_map, map_unknown_classes, read_class_map
from stainproof.data.listing import Listing
from stainproof.errors import ConfigError, DataError
from stainproof.labels import BLOOD_CLASSES

HOSPITAL = {
    "Neutrophil, segmented": 5, "Band Neutrophils": 2, "Metamyelocyte": 1, "Myelocytes": 2,
    "Promyelocyte": 1, "Variant lymphocytes": 3, "Artefact": 4, "Eosinophil": 6,
}  # fmt: skip


def listing(counts: dict[str, int]) -> Listing:
    labels = np.repeat(np.arange(len(counts)), list(counts.values()))
    names = tuple(f"{index}.png" for index in range(len(labels)))
    return Listing("hospital", names, labels, tuple(counts), paths=tuple(map(Path, names)))


def test_the_packaged_map_gives_the_eight_classes() -> None:
    mapped = apply_class_map(listing(HOSPITAL), read_class_map("haematology"))
    assert mapped.class_counts() == {"eosinophil": 6, "ig": 4, "lymphocyte": 3, "neutrophil": 7}
    assert "classes left out by the class map: Artefact (4)" in mapped.notes
    assert any("Band Neutrophils -> neutrophil" in note for note in mapped.notes)
    assert len(mapped.paths) == len(mapped.names) == 20


def test_the_packaged_map_names_every_class_of_bloodmnist_and_nothing_twice() -> None:
    targets = read_class_map("haematology").targets()
    assert set(targets.values()) == {*BLOOD_CLASSES, ""}


def test_a_map_of_ones_own_renames_merges_ignores_and_drops_small_classes(tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text(
        'ignore = ["artefact"]\nmin_images = 3\n[classes]\n'
        'neutrophil = ["segmented neutrophil", "band neutrophil"]\n'
    )
    mapped = apply_class_map(listing(HOSPITAL), read_class_map(str(tmp_path / "map.toml")))
    assert mapped.class_counts() == {"Eosinophil": 6, "Variant lymphocytes": 3, "neutrophil": 7}
    assert any("Metamyelocyte (1), Myelocytes (2)" in note for note in mapped.notes)


@pytest.mark.parametrize(
    "names",
    [("basophil", "neutrophil", "band"), ("Basophil", "Eosinophil", "Neutrophil", "Band", "?")],
)
def test_names_are_mapped_to_a_class_that_the_source_has_too(names: tuple[str, ...]) -> None:
    known = (*BLOOD_CLASSES, "?")
    mapped = map_unknown_classes(listing(dict.fromkeys(names, 2)), known)
    expected = {name: 2 for name in names if name.lower() not in ("neutrophil", "band")}
    assert mapped.class_counts() == {**expected, "neutrophil": 4}


def test_names_in_every_script_are_told_apart() -> None:
    counts = {"淋巴细胞": 3, "单核细胞": 2, "Лимфоцит": 4, "ЛИМФОЦИТЫ": 1, "?": 1}
    own = ClassMap(classes={"lymphocyte": ("淋巴细胞", "лимфоцит")}, ignore=("单核细胞",))
    mapped = apply_class_map(listing(counts), own)
    assert mapped.class_counts() == {"?": 1, "lymphocyte": 7, "ЛИМФОЦИТЫ": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[classes]\na = ["x"]\nb = ["X"]', "'X' is both 'a' and 'b'"),
        ('ignore = ["x"]\n[classes]\na = ["x"]', "'x' is both 'ignored' and 'a'"),
        ('ignore = ["??"]', r"'\?\?' has no letter or digit; rename the class"),
        ('rename = "x"', "rename is unknown; allowed: classes, ignore, min_images"),
        ("][", "not a readable TOML file"),
    ],
)
def test_an_invalid_map_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "map.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_class_map(str(tmp_path / "map.toml"))


def test_a_map_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="leaves no image"):
        apply_class_map(listing({"x": 2}), ClassMap(ignore=("x",)))


def test_names_that_a_model_does_not_know_are_mapped_only_if_all_stand_for_its_classes() -> None:
    counts = {name: count for name, count in HOSPITAL.items() if name != "Artefact"}
    mapped = map_unknown_classes(listing(counts), BLOOD_CLASSES)
    assert mapped.class_counts() == {"Eosinophil": 6, "ig": 4, "lymphocyte": 3, "neutrophil": 7}
    assert len(mapped) == len(listing(counts)) and mapped.notes
    for further in ("Artefact", "Martian"):
        strange = listing(counts | {further: 1})
        assert map_unknown_classes(strange, BLOOD_CLASSES) is strange
