"""The layouts of folders that laboratories and public sets have."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stainproof.data.layout import Layout, check_no_copy_within, guess_layout
from stainproof.data.pattern import Pattern
from stainproof.errors import DataError

CELLS = ("Basophil", "Eosinophil", "Neutrophil, segmented")


def tree(*patterns: str, cells: tuple[str, ...] = CELLS) -> list[str]:
    return [one.format(cell=cell) for one in patterns for cell in cells]


@pytest.mark.parametrize(
    ("paths", "layout"),
    [
        (tree("{cell}/1.png"), "{label}/**"),
        (["0/a.png", "1/a.png"], "{label}/**"),
        (["cat/a.png", "dog/a.png", "dog/old/b.png"], "{label}/**"),
        (tree("data/cells/{cell}/1.png"), "*/*/{label}/**"),
        (tree("TRAIN/{cell}/1.png", "TEST/{cell}/1.png"), "{split}/{label}/**"),
        (tree("images/Train/{cell}/1.png", "images/valid/{cell}/1.png"), "*/{split}/{label}/**"),
        (tree("train/images/{cell}/1.png", "test/images/{cell}/1.png"), "{split}/*/{label}/**"),
        (
            tree("Patient_07/2020-01-02/Signed slides/{cell}/1.jpg",
                 "Patient_08/2020-02-02/Signed slides/{cell}/1.jpg"),
            "{group}/*/*/{label}/**",
        ),
        (
            tree("Patient_07/2020-01-02/{cell}/1.jpg", "Patient_08/a/b/{cell}/1.jpg"),
            "{group}/**/{label}/*",
        ),
        (tree("0012/{cell}/1.png", "0013/{cell}/1.png"), "{group}/{label}/**"),
        (tree("{cell}/patient 3/1.png", "{cell}/patient 4/1.png"), "{label}/{group}/**"),
        (tree("{cell}/batch/1.png", "{cell}/1.png"), "{label}/**"),
        (["Basophil/slide 7/1.png"], "{label}/**"),
        (tree("train/P1/{cell}/1.png", "test/P2/{cell}/1.png"), "{split}/{group}/{label}/**"),
    ],
)  # fmt: skip
def test_a_layout_with_one_reading_is_guessed(paths: list[str], layout: str) -> None:
    assert guess_layout("cells", paths) == layout
    assert all(Layout(layout).place(path) for path in paths)


@pytest.mark.parametrize(
    ("paths", "readings"),
    [
        (tree("siteA/{cell}/1.png", "siteB/{cell}/1.png"), r"\{group\}.*\{label\}.* or .*\*\*"),
        (tree("lisc/{cell}/1.png", "fields/1.png"), r"'\{label\}/\*\*' or --layout '\*\*/"),
        (["a/x/1.png", "a/y/1.png", "b/x/1.png"], r"'\{label\}/\*\*' or --layout '\{group\}"),
        (
            tree("{cell}/patient 3/1.png", "{cell}/patient 4/1.png", "{cell}/1.png"),
            r"'\{label\}/\{group\}/\*\*' or",
        ),
    ],
)
def test_a_layout_with_two_readings_is_refused_with_both(paths: list[str], readings: str) -> None:
    with pytest.raises(DataError, match=f"more than one reading .*{readings}"):
        guess_layout("cells", paths)


def test_patients_without_class_folders_are_not_taken_for_classes() -> None:
    with pytest.raises(DataError, match=r"look like patients or slides \('Patient_01'\)"):
        guess_layout("cells", ["Patient_01/1.png", "Patient_02/1.png"])


def test_a_pattern_gives_class_group_and_split() -> None:
    layout = Layout("{split}/{group}/**/{label}/*")
    place = layout.place("Validation/P 7/2020/slides/Neutrophil, segmented/1.jpg")
    assert place is not None
    assert (place.split, place.group, place.label) == ("val", "P 7", "Neutrophil, segmented")
    assert layout.place("train/P 7/1.jpg") is None
    named = Layout("{label}/{group}_*").place("Basophil/p61_0001.png")
    assert named is not None and named.group == "p61"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{group}/*", "needs {label} once"),
        ("{label}/{label}/*", "needs {label} once"),
        ("{class}/*", "allowed: {label}, {group}, {split}, got {class}"),
    ],
)
def test_an_invalid_pattern_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(DataError) as refusal:
        Layout(pattern)
    assert message in str(refusal.value)


def test_split_folders_without_class_folders_are_not_taken_for_classes() -> None:
    with pytest.raises(DataError, match=r"directly in 'test'.*such as test/_classes.csv"):
        guess_layout("cells", ["train/1.png", "valid/1.png", "test/1.png"])


def test_a_split_folder_of_another_name_is_refused() -> None:
    with pytest.raises(DataError, match=r"split 'exam'; allowed: train, training, val"):
        Layout("{split}/{label}/*").place("exam/Basophil/1.png")


def test_a_class_below_another_is_refused() -> None:
    paths = tree("{cell}/1.png", "Basophil/copy/{cell}/1.png")
    with pytest.raises(DataError, match="'Basophil' occurs below 'Basophil'"):
        check_no_copy_within("cells", Layout("{label}/**"), paths)


def test_a_file_that_is_again_in_a_folder_beside_the_classes_is_refused() -> None:
    paths = tree("{cell}/1.png", "copy/{cell}/1.png")
    with pytest.raises(DataError, match=r"'Basophil/1.png' is in 'copy' too.*move 'copy' away"):
        check_no_copy_within("cells", Layout("**/{label}/*"), paths)


def as_regex(pattern: str) -> "re.Pattern[str]":
    """The same as a regular expression, which takes exponential time for some patterns."""
    parts = []
    components = pattern.strip("/").split("/")
    for at, component in enumerate(components):
        is_last = at == len(components) - 1
        if component == "**":
            parts.append("(?:[^/]+/)*" + "[^/]+" * is_last)
            continue
        for token in re.findall(r"\{\w+\}|.", component):
            field = f"(?P<{token[1:-1]}>[^/]+?)"
            plain = {"*": "[^/]*", "?": "[^/]"}.get(token, re.escape(token))
            parts.append(field if token[0] == "{" else plain)
        parts.append("" if is_last else "/")
    return re.compile("".join(parts))


TOKENS = st.lists(st.sampled_from(["a", "b", "_", "*", "?"]), max_size=4).map("".join)


@given(
    st.lists(TOKENS, min_size=1, max_size=4),
    st.integers(0, 3),
    st.integers(0, 4),
    st.booleans(),
    st.lists(st.text("ab_", min_size=1, max_size=4), min_size=1, max_size=4).map("/".join),
)
def test_a_pattern_matches_as_the_regular_expression_does(
    components: list[str], at: int, place: int, with_group: bool, path: str
) -> None:
    at %= len(components)
    one = components[at].replace("**", "*")
    components[at] = one[:place] + "{label}" + one[place:] + "_{group}" * with_group
    pattern = "/".join(components)
    expected = as_regex(pattern).fullmatch(path)
    assert Pattern(pattern).match(path) == (expected.groupdict() if expected else None)
