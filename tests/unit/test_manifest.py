"""Manifests as hospitals, Kaggle, Roboflow and Label Studio write them."""

from pathlib import Path

import numpy as np
import pytest

from stainproof.config.schema import SourceConfig
from stainproof.data.listing import Listing
from stainproof.data.manifest import list_manifest
from stainproof.errors import DataError


def listed(tmp_path: Path, text: str, **options: str) -> Listing:
    (tmp_path / "m.csv").write_text(text, encoding="utf-8")
    return list_manifest(tmp_path / "m.csv", SourceConfig(**options))


@pytest.mark.parametrize(
    "header",
    [
        "path,label,patient_id",
        "filename,class,Patient",
        "Image;Cell Type;slide",
        "file\tlabels\tsubject",
    ],
)  # fmt: skip
def test_columns_are_found_by_common_names_and_any_delimiter(tmp_path: Path, header: str) -> None:
    delimiter = next(one for one in ",;\t" if one in header)
    rows = ("a.png,basophil,P1", "b.png,platelet,P2", "c.png,platelet,P2")
    listing = listed(tmp_path, "\n".join((header, *(row.replace(",", delimiter) for row in rows))))
    assert listing.names == ("a.png", "b.png", "c.png")
    assert listing.classes == ("basophil", "platelet")
    assert listing.groups == ("P1", "P2", "P2")
    assert listing.labels.tolist() == [0, 1, 1]


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    assert listed(tmp_path, "\ufeffpath,label\na.png,x\nb.png,y").names == ("a.png", "b.png")


def test_patients_are_told_apart_without_spaces_around_their_names(tmp_path: Path) -> None:
    text = "path,label,patient\na,x,P1\nb,y, P1 \nc,y,P2"
    assert listed(tmp_path, text).groups == ("P1", "P1", "P2")


@pytest.mark.parametrize(
    ("patient", "message"),
    [
        ("p1", "patients or slides 'P1' and 'p1' are one in two spellings; rename one"),
        ("  ", "column 'patient' is empty in row 2"),
    ],
)
def test_patients_spelt_in_two_ways_or_blank_are_refused(
    tmp_path: Path, patient: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        listed(tmp_path, f"path,label,patient\na,x,P1\nb,y,{patient}")


@pytest.mark.parametrize("column", ["split", "subset", "Fold"])
def test_a_split_column_is_the_sources_own_split(tmp_path: Path, column: str) -> None:
    listing = listed(tmp_path, f"path,label,{column}\na,x,Train\nb,y,valid\nc,x,TEST")
    assert listing.parts == ("train", "val", "test")
    assert listing.part("test").names == ("c",)


def test_a_fold_of_numbers_is_named_as_not_used(tmp_path: Path) -> None:
    listing = listed(tmp_path, "path,label,fold\na,x,0\nb,y,1")
    assert listing.parts is None
    assert "column 'fold' is not used: its values are not train, val or test" in listing.notes


def test_a_value_that_is_no_split_among_others_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'split' is 'exam' in row 2; allowed: train"):
        listed(tmp_path, "path,label,split\na,x,train\nb,y,exam")


def test_a_column_that_looks_like_groups_and_is_not_used_is_named(tmp_path: Path) -> None:
    listing = listed(tmp_path, "path,label,smear_no\na,x,1\nb,y,2")
    assert listing.groups is None
    assert listing.notes == ("column 'smear_no' is not used; --group-column smear_no would",)
    assert listed(
        tmp_path, "path,label,smear_no\na,x,1\nb,y,2", group_column="smear_no"
    ).groups == ("1", "2")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("path,label,patient,slide", "--group-column patient or --group-column slide"),
        ("filename,image,label", "--path-column filename or --path-column image"),
        ("path,class,category", "--label-column class or --label-column category"),
        ("name,label", r"column 'path' is missing; got: name, label; name it with --path-column"),
        ("path,diagnosis", "column 'label' is missing.*--label-column"),
    ],
)
def test_two_readings_or_none_are_refused_and_named(
    tmp_path: Path, header: str, message: str
) -> None:
    row = ",".join("abcd"[: header.count(",") + 1])
    with pytest.raises(DataError, match=message):
        listed(tmp_path, f"{header}\n{row}\n{row.upper()}")


def test_columns_can_be_named(tmp_path: Path) -> None:
    listing = listed(
        tmp_path, "a,b,c\n1.png,x,P\n2.png,y,Q",
        path_column="a", label_column="b", group_column="c",
    )  # fmt: skip
    assert (listing.names, listing.classes) == (("1.png", "2.png"), ("x", "y"))
    assert listing.groups == ("P", "Q")
    with pytest.raises(DataError, match="column 'z' is missing; got: a, b, c"):
        listed(tmp_path, "a,b,c\n1,x,P", path_column="z")


def test_one_hot_columns_are_classes(tmp_path: Path) -> None:
    text = "filename, Basophil, Platelet, Monocyte\na.jpg, 0, 1, 0\nb.jpg, 1, 0, 0\nc.jpg, 0, 0, 1"
    listing = listed(tmp_path, text.replace(" 0", "0").replace(" 1", "1"))
    assert [listing.classes[label] for label in listing.labels] == [
        "Platelet", "Basophil", "Monocyte",
    ]  # fmt: skip


def test_one_hot_rows_with_two_classes_or_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 1 has 2 of the classes x, y; allowed: one"):
        listed(tmp_path, "path,x,y\na,1,1\nb,0,1")


def test_windows_paths_find_their_files(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(b"")
    listing = listed(tmp_path, "path,label\na\\1.png,x\na\\2.png,y")
    assert listing.paths == (tmp_path / "a" / "1.png", tmp_path / "a" / "2.png")
    assert np.array_equal(listing.labels, [0, 1])
