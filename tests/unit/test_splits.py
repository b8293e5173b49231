import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stainproof import files
from stainproof.config.schema import SplitConfig
from stainproof.data.copies import canonical_hashes
from stainproof.data.dataset import Dataset
from stainproof.data.listing import Listing
from stainproof.data.splits import TEST, TRAIN, VAL, Split, check_split, make_split
from stainproof.errors import DataError
from tests.common.cells import CLASSES, make_dataset


def straddling(numbers: list[int], parts: NDArray[Any]) -> list[Any]:
    """Return the numbers whose members lie in more than one part."""
    parts_of: dict[Any, set[Any]] = {}
    for number, part in zip(numbers, parts, strict=True):
        parts_of.setdefault(number, set()).add(part)
    return [number for number, found in parts_of.items() if len(found) > 1]


many_singles = st.lists(st.integers(10, 60), min_size=2, max_size=3).map(
    lambda counts: np.repeat(np.arange(len(counts)), counts)
)

shares = st.sampled_from([(0.1, 0.0), (0.2, 0.0), (0.15, 0.15), (0.3, 0.1), (0.5, 0.0)])

seeds = st.integers(0, 2**31 - 1)


@settings(max_examples=40, deadline=None)
@given(labels=many_singles, fractions=shares, seed=seeds)
def test_single_images_are_parted_within_one_image_of_each_share(
    labels: Any, fractions: Any, seed: Any
) -> None:
    val, test = fractions
    split = make_split(
        make_dataset(labels), SplitConfig(val_fraction=val, test_fraction=test), seed
    )
    everything = np.concatenate([split.indices(part) for part in (TRAIN, VAL, TEST)])
    assert sorted(everything) == list(range(len(labels)))
    totals = np.bincount(labels)
    for part, share in ((VAL, val), (TEST, test), (TRAIN, 1 - val - test)):
        counts = np.bincount(labels[split.indices(part)], minlength=len(totals))
        assert (np.abs(counts - share * totals) <= 1 + 1e-9).all()


@settings(max_examples=40, deadline=None)
@given(
    behind=st.lists(st.integers(0, 3), min_size=30, max_size=30),
    some=st.lists(st.integers(0, 20), min_size=30, max_size=30),
    seed=seeds,
)
def test_equal_pixels_and_equal_groups_are_never_split(
    behind: list[int], some: list[int], seed: int
) -> None:
    num = 90
    labels = np.arange(num) % 3
    copies_of = np.arange(num)
    copies_of[:30] = np.maximum(copies_of[:30] - behind, 0)
    groups = some + list(range(100, 160))
    source = make_dataset(labels, copies_of, groups)
    split = make_split(source, SplitConfig(val_fraction=0.2, test_fraction=0.1), seed)
    _, pixels = np.unique(source.images.reshape(num, -1), axis=0, return_inverse=True)
    assert not straddling(pixels.tolist(), split.parts)
    assert not straddling(groups, split.parts)
    assert not straddling(split.groups.tolist(), split.parts)
    assert set(split.parts) <= {TRAIN, VAL, TEST}
    assert len(split.parts) == num


def test_a_chain_of_copies_and_patients_is_one_group_and_nothing_else_is() -> None:
    labels = np.arange(60) % 3
    copies_of = np.arange(60)
    copies_of[3] = 0
    groups = [f"patient {index}" for index in range(60)]
    groups[6] = groups[3]
    copies_of[9] = 6
    split = make_split(make_dataset(labels, copies_of, groups), SplitConfig(), 0)
    assert len({split.groups[i] for i in (0, 3, 6, 9)}) == 1
    assert len(set(split.groups.tolist())) == 57


def test_turned_and_mirrored_copies_are_one_group() -> None:
    data = make_dataset(np.arange(60) % 3)
    for index, turned in ((3, np.rot90(data.images[0])), (6, data.images[0][:, ::-1])):
        data.images[index] = turned
    split = make_split(data, SplitConfig(), 0)
    assert len({split.groups[i] for i in (0, 3, 6)}) == 1
    assert len(set(split.groups.tolist())) == 58


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 6), min_size=30, max_size=60), seed=seeds)
def test_whole_groups_still_come_near_the_share(sizes: Any, seed: Any) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    labels = groups % 3
    split = make_split(make_dataset(labels, groups=groups), SplitConfig(val_fraction=0.3), seed)
    wanted = 0.3 * np.bincount(labels, minlength=3)
    counts = np.bincount(labels[split.indices(VAL)], minlength=3)
    assert (np.abs(counts - wanted) <= max(sizes)).all()


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    source = make_dataset(np.arange(120) % 3)
    first, again, other = (make_split(source, SplitConfig(), seed) for seed in (5, 5, 6))
    assert first.to_csv() == again.to_csv()
    assert first.sha256() == again.sha256()
    assert first.sha256() != other.sha256()


def test_the_split_does_not_touch_the_global_random_state() -> None:
    np.random.seed(3)  # noqa: NPY002
    before = np.random.random_sample(5)  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    make_split(make_dataset(np.arange(60) % 3), SplitConfig(), 0)
    assert np.array_equal(np.random.random_sample(5), before)  # noqa: NPY002


@pytest.mark.parametrize("seed", [0, 1])
def test_a_sources_own_parts_are_kept(seed: int) -> None:
    parts = tuple(np.resize([TRAIN] * 3 + [VAL] * 3 + [TEST] * 3, 45).tolist())
    settings = SplitConfig(val_fraction=0.5, test_fraction=0.1)
    split = make_split(make_dataset(np.arange(45) % 3, parts=parts), settings, seed)
    assert tuple(split.parts) == parts


def test_one_part_of_a_source_can_be_learnt_from() -> None:
    parts = (TRAIN,) * 60 + (TEST,) * 30
    whole = make_dataset(np.arange(90) % 3, parts=parts)
    train = replace(whole.subset(np.arange(60)), parts=None)
    split = make_split(train, SplitConfig(val_fraction=0.2), 0)
    assert len(split.indices(VAL)) == 12
    assert len(split.indices(TRAIN)) == 48


@pytest.mark.parametrize("parts", [None, (TRAIN,) * 10 + (VAL,) * 10])
def test_one_class_only_is_refused(parts: tuple[str, ...] | None) -> None:
    with pytest.raises(DataError, match=r"cells: one class only \(lymphocyte\)"):
        make_split(make_dataset([1] * 20, parts=parts), SplitConfig(), 0)


@pytest.mark.parametrize(
    ("fractions", "part"),
    [((0.2, 0.0), "val"), ((0.4, 0.2), "test"), ((0.6, 0.0), "train")],
)
def test_a_class_too_small_for_every_part_is_refused_by_name(
    fractions: tuple[float, float], part: str
) -> None:
    val, test = fractions
    labels = [0] * 40 + [1] * 40 + [2] * (1 if part == "train" else 2)
    with pytest.raises(DataError, match=rf"'platelet' \(\d images?\): none for {part}"):
        make_split(make_dataset(labels), SplitConfig(val_fraction=val, test_fraction=test), 0)


def test_a_test_fraction_too_small_for_a_single_image_is_an_error() -> None:
    with pytest.raises(DataError, match="none for test"):
        make_split(make_dataset(np.arange(60) % 3), SplitConfig(test_fraction=0.01), 0)


def test_a_class_in_one_group_only_is_refused_by_name() -> None:
    labels = np.array([0] * 20 + [1] * 20)
    groups = [*range(20), *["one slide"] * 20]
    with pytest.raises(DataError, match=r"'lymphocyte' \(20 images of 1 patient or slide\): none"):
        make_split(make_dataset(labels, groups=groups), SplitConfig(), 0)


def test_images_of_one_patient_cannot_be_split() -> None:
    with pytest.raises(
        DataError, match=r"'basophil' \(20 images of 1 patient or slide\): none for"
    ):
        make_split(make_dataset([0] * 20 + [1] * 20, groups=["p"] * 40), SplitConfig(), 0)


def test_a_class_without_images_is_ignored() -> None:
    split = make_split(make_dataset([0] * 20 + [2] * 20), SplitConfig(), 0)
    assert len(split.indices(VAL)) == 4


def test_the_table_holds_every_image_and_its_hash_is_the_files(tmp_path: Path) -> None:
    source = make_dataset(np.arange(30) % 3)
    source = Dataset(**vars(source) | {"names": ('a,"b"\nä', *source.names[1:])})
    split = make_split(source, SplitConfig(), 0)
    (tmp_path / "splits.csv").write_bytes(split.to_bytes())
    assert files.sha256_of(tmp_path / "splits.csv") == split.sha256()
    text = (tmp_path / "splits.csv").read_bytes().decode("utf-8")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["name"] for row in rows] == list(source.names)
    assert [row["label"] for row in rows] == [CLASSES[label] for label in source.labels]
    assert [row["split"] for row in rows] == split.parts.tolist()
    assert [int(row["group"]) for row in rows] == split.groups.tolist()


def test_the_file_of_a_split_has_unix_line_ends_and_names_that_are_not_utf_8() -> None:
    parts = np.array([TRAIN, VAL])
    split = Split(("a/1.png", "a/\udce9.png"), ("a", "a"), np.array([0, 1]), parts)
    assert split.to_bytes() == (b"name,label,group,split\na/1.png,a,0,train\na/\xe9.png,a,1,val\n")


def test_columns_of_different_length_are_no_table() -> None:
    parts = np.array([TRAIN, VAL])
    with pytest.raises(ValueError, match="zip"):
        Split(("1.png", "2.png"), ("a",), np.array([0, 1]), parts).to_csv()


def test_the_split_of_a_seed_is_the_same_in_every_version() -> None:
    labels = np.arange(60) % 3
    copies_of = np.arange(60)
    copies_of[[3, 6, 9]], copies_of[31] = 0, 30
    fractions = SplitConfig(val_fraction=0.2, test_fraction=0.1)
    split = make_split(make_dataset(labels, copies_of), fractions, 7)
    assert split.indices(VAL).tolist() == [0, 2, 3, 4, 5, 6, 7, 9, 16, 20, 35, 55]
    assert split.indices(TEST).tolist() == [13, 15, 29, 30, 31, 44]
    split = make_split(make_dataset(labels, groups=[f"p{i // 4}" for i in range(60)]), fractions, 7)
    assert split.indices(VAL).tolist() == [0, 1, 2, 3, 16, 17, 18, 19, 44, 45, 46, 47]
    assert split.indices(TEST).tolist() == [12, 13, 14, 15, 40, 41, 42, 43]


def test_validation_is_taken_from_the_training_part_of_a_source_without_one() -> None:
    parts = (TRAIN,) * 45 + (TEST,) * 15
    source = make_dataset(np.arange(60) % 3, parts=parts)
    split = make_split(source, SplitConfig(val_fraction=0.2, test_fraction=0.5), 7)
    assert split.indices(VAL).tolist() == [0, 6, 10, 20, 28, 32, 35, 37, 42]
    assert split.indices(TEST).tolist() == list(range(45, 60))
    assert split.notes == (
        "the source's own split has no validation part: taken from its training part",
    )


def test_shares_that_whole_patients_do_not_allow_are_said() -> None:
    labels = np.array([0] * 20 + [1] * 40 + [2] * 40)
    groups = ["a"] * 10 + ["b"] * 10 + [f"{i // 2}" for i in range(80)]
    split = make_split(make_dataset(labels, groups=groups), SplitConfig(val_fraction=0.2), 7)
    assert split.notes == (
        "42 patients or slides, none shared between splits",
        "share of validation images, 20 % wanted, where whole patients or slides allow no better: "
        "basophil 50 %",
    )


def listing_of(source: Dataset) -> Listing:
    return Listing(
        source=source.source,
        classes=source.classes,
        labels=source.labels,
        names=source.names,
        groups=source.groups,
        parts=source.parts,
    )


SLIDES = [f"p{index % 9}" for index in range(60)]


@pytest.mark.parametrize("groups", [None, [f"p{i // 3}" for i in range(60)], SLIDES])
def test_what_can_be_split_passes_the_check_before_any_image_is_read(groups: Any) -> None:
    source = make_dataset(np.arange(60) % 3, groups=groups)
    check_split(listing_of(source), SplitConfig(val_fraction=0.1, test_fraction=0.1), 0)


@pytest.mark.parametrize(
    ("labels", "groups", "parts"),
    [
        ([1] * 20, None, None),
        ([0] * 20 + [1] * 20 + [2], None, None),
        ([0] * 20 + [1] * 20, [*range(20), *["one slide"] * 20], None),
        ([0] * 20 + [1] * 20, None, (TRAIN,) * 20 + (VAL,) * 20),
    ],
)
def test_the_check_before_reading_refuses_with_the_same_words(
    labels: Any, groups: Any, parts: Any
) -> None:
    source = make_dataset(labels, groups=groups, parts=parts)
    said = []
    for attempt in (
        lambda: make_split(source, SplitConfig(), 0),
        lambda: check_split(listing_of(source), SplitConfig(), 0),
    ):
        with pytest.raises(DataError) as raised:
            attempt()
        said.append(str(raised.value))
    assert said[0] == said[1]


def test_the_message_about_small_classes_says_what_to_do() -> None:
    with pytest.raises(DataError) as raised:
        make_split(make_dataset([0] * 20 + [1] * 20 + [2]), SplitConfig(), 0)
    assert str(raised.value).endswith(
        "classes too small to split: 'platelet' (1 image): none for val; add images or patients, "
        "merge or leave out classes with --map, or change split.val_fraction and "
        "split.test_fraction with --set"
    )
    parts = (TRAIN,) * 20 + (VAL,) * 20
    with pytest.raises(DataError) as raised:
        make_split(make_dataset([0] * 20 + [1] * 20, parts=parts), SplitConfig(), 0)
    assert str(raised.value).endswith(
        "the source's own split lacks them; move images, or leave the class out with --map"
    )


def refusal(labels: Any, settings: SplitConfig, **options: Any) -> str:
    with pytest.raises(DataError) as raised:
        make_split(make_dataset(labels, **options), settings, 0)
    return str(raised.value)


def test_refusals_in_full() -> None:
    assert refusal([1] * 20, SplitConfig()) == (
        "cells: one class only (lymphocyte); at least two are needed"
    )
    fractions = SplitConfig(val_fraction=0.2, test_fraction=0.2)
    groups = [*range(20), *["a"] * 10, *["b"] * 10, "c"]
    assert refusal([0] * 20 + [1] * 20 + [2], fractions, groups=groups) == (
        "cells: classes too small to split: 'lymphocyte' (20 images of 2 patients or slides): none "
        "for val, 'platelet' (1 image of 1 patient or slide): none for val; add images or "
        "patients, merge or leave out classes with --map, or change split.val_fraction and "
        "split.test_fraction with --set"
    )
    parts = (TRAIN,) * 20 + (VAL,) * 20
    assert refusal([0] * 20 + [1] * 20, SplitConfig(), parts=parts) == (
        "cells: classes too small to split: 'basophil' (20 images): none for val, 'lymphocyte' (20 "
        "images): none for train; the source's own split lacks them; move images, or leave the "
        "class out with --map"
    )


def test_a_class_that_the_test_part_of_a_source_lacks_is_refused() -> None:
    labels = [0, 1] * 20 + [0] * 10
    parts = (TRAIN,) * 20 + (VAL,) * 20 + (TEST,) * 10
    assert "'lymphocyte' (20 images): none for test;" in refusal(labels, SplitConfig(), parts=parts)


def test_a_source_without_a_test_part_needs_none() -> None:
    parts = (TRAIN,) * 30 + (VAL,) * 30
    source = make_dataset(np.arange(60) % 3, parts=parts)
    split = make_split(source, SplitConfig(val_fraction=0.2, test_fraction=0.2), 0)
    assert split.indices(TEST).tolist() == []
    assert split.notes == ()


def test_a_source_of_test_images_only_is_not_given_a_validation_part() -> None:
    message = refusal(np.arange(60) % 3, SplitConfig(), parts=(TEST,) * 60)
    assert "'basophil' (20 images): none for train" in message


@pytest.mark.parametrize(("num_a_class", "num_val"), [(4, 2), (5, 2), (6, 3), (7, 3)])
def test_half_an_image_is_for_training(num_a_class: int, num_val: int) -> None:
    labels = np.repeat([0, 1], num_a_class)
    split = make_split(make_dataset(labels), SplitConfig(val_fraction=0.5), 0)
    assert np.bincount(labels[split.indices(VAL)]).tolist() == [num_val, num_val]


def test_an_image_between_whole_groups_stays_alone() -> None:
    split = make_split(make_dataset([0, 1] * 10), SplitConfig(), 0)
    assert len(set(split.groups.tolist())) == 20
    assert split.groups.dtype == np.int64


def test_a_source_that_shares_patients_between_its_parts_is_told_so() -> None:
    labels = np.arange(60) % 3
    parts = (TRAIN,) * 30 + (VAL,) * 30
    groups = [f"p{index // 8}" for index in range(60)]  # p3 has images 24 to 31
    split = make_split(make_dataset(labels, groups=groups, parts=parts), SplitConfig(), 0)
    assert split.notes == ("8 patients or slides, 1 shared between splits",)
    groups = [f"p{index // 30}" for index in range(60)]
    split = make_split(make_dataset(labels, groups=groups, parts=parts), SplitConfig(), 0)
    assert split.notes == ("2 patients or slides, none shared between splits",)


def test_a_source_that_shares_copies_between_its_parts_is_told_so() -> None:
    labels, copies_of = np.arange(60) % 3, np.arange(60)
    copies_of[[3, 33, 36, 39]] = 0
    copies_of[9] = 6
    parts = (TRAIN,) * 30 + (VAL,) * 30
    split = make_split(make_dataset(labels, copies_of, parts=parts), SplitConfig(), 0)
    assert split.notes == ("1 image with copies in more than one split",)


def test_validation_of_patients_is_taken_from_the_training_part_of_a_source() -> None:
    """20 % of all 60 images are 12, which are two of the eight training patients of six images."""
    labels = np.arange(60) % 3
    parts = (TRAIN,) * 48 + (TEST,) * 12
    groups = [f"p{index // 6}" for index in range(60)]
    source = make_dataset(labels, groups=groups, parts=parts)
    split = make_split(source, SplitConfig(val_fraction=0.2), 0)
    assert len(split.indices(VAL)) == 12
    assert split.notes == (
        "the source's own split has no validation part: taken from its training part",
        "10 patients or slides, none shared between splits",
    )


def shares_of_patients(*sizes: tuple[int, int]) -> tuple[str, ...]:
    """Return the notes of a split with 10 % validation; sizes are (patients, images of each)."""
    labels = np.concatenate([np.full(num * size, label) for label, (num, size) in enumerate(sizes)])
    groups = [
        f"class {label}, patient {patient}"
        for label, (num, size) in enumerate(sizes)
        for patient in np.arange(num).repeat(size)
    ]
    source = make_dataset(labels, groups=groups)
    return make_split(source, SplitConfig(val_fraction=0.1), 0).notes


@pytest.mark.filterwarnings("error")
def test_shares_up_to_a_tenth_beside_the_one_wanted_are_not_said() -> None:
    assert shares_of_patients((5, 2), (10, 1)) == (
        "15 patients or slides, none shared between splits",
    )
    assert shares_of_patients((4, 2), (10, 1), (3, 4))[1] == (
        "share of validation images, 10 % wanted, where whole patients or slides allow no better: "
        "basophil 25 %, platelet 33 %"
    )


def test_the_images_of_every_part() -> None:
    source = make_dataset(np.arange(60) % 3)
    split = make_split(source, SplitConfig(val_fraction=0.2, test_fraction=0.1), 0)
    divided = split.divide(source)
    assert list(divided) == [TRAIN, VAL, TEST]
    for part, data in divided.items():
        assert data.names == tuple(source.names[index] for index in split.indices(part))


def test_a_split_holds_the_hashes_of_the_pixels() -> None:
    source = make_dataset(np.arange(30) % 3)
    assert np.array_equal(
        make_split(source, SplitConfig(), 0).hashes, canonical_hashes(source.images)
    )
    assert Split((), (), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.str_)).notes == ()
