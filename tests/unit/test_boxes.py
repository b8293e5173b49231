"""Boxes of fields from CSV, COCO, YOLO and Pascal VOC files, and to which field they belong."""

import json
from pathlib import Path

import pytest

from stainproof.cells.boxes import read_boxes
from stainproof.errors import DataError

SHAPE = (100, 100, 3)

BOXES = {
    "csv": "field,x0,y0,x1,y1,label\na.png,10,20,30,60,white\n",
    "json": json.dumps(
        {
            "images": [{"id": 3, "file_name": "fields/a.png"}],
            "categories": [{"id": 1, "name": "white"}],
            "annotations": [{"image_id": 3, "category_id": 1, "bbox": [10, 20, 20, 40]}],
        }
    ),
    "txt": "0 0.2 0.4 0.2 0.4\n",
    "xml": "<annotation><filename>a.png</filename><object><name>white</name><bndbox><xmin>10"
    "</xmin><ymin>20</ymin><xmax>30</xmax><ymax>60</ymax></bndbox></object></annotation>",
}


@pytest.mark.parametrize("suffix", BOXES)
def test_all_formats_of_boxes_mean_the_same(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_text(BOXES[suffix])
    if suffix == "txt":
        (tmp_path / "classes.txt").write_text("white\n")
    (one,) = read_boxes(path).of(Path("a.png"), SHAPE)
    assert (one.x0, one.y0, one.x1, one.y1) == pytest.approx((10, 20, 30, 60))
    assert one.kind == "white"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "field,x0\na,1\n"),
        ("a.csv", "field,x0,y0,x1,y1\na,1,2,nan,4\n"),
        ("a.csv", "field,x0,y0,x1,y1\na,9,2,3,4\n"),
        ("a.csv", "field,x0,y0,x1,y1\n"),
        ("a.json", "[1]"),
        ("a.json", "{"),
        ("a.txt", "0 1 2\n"),
        ("a.xml", "<a>"),
        ("a.xml", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'),
        ("a.bin", ""),
    ],
)
def test_damaged_boxes_are_refused_in_one_line(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=name) as refused:
        read_boxes(tmp_path / name)
    assert "\n" not in str(refused.value)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def edges(boxes: Path, field: Path) -> list[tuple[float, ...]]:
    cells = read_boxes(boxes).of(field, SHAPE)
    return [tuple(round(edge) for edge in (one.x0, one.y0, one.x1, one.y1)) for one in cells]


YOLO = {"train": "0 0.2 0.4 0.2 0.4\n", "val": "0 0.5 0.5 0.2 0.2\n"}


@pytest.mark.parametrize("suffix", ["csv", "txt", "xml"])
def test_fields_of_one_name_have_the_boxes_of_their_own_folder(tmp_path: Path, suffix: str) -> None:
    boxes = tmp_path / "boxes"
    if suffix == "csv":
        rows = "p/train/001.png,10,20,30,60\np/val/001.png,40,40,60,60\n"
        boxes = write(tmp_path / "boxes.csv", "field,x0,y0,x1,y1\n" + rows)
    elif suffix == "txt":
        for folder, text in YOLO.items():
            write(boxes / folder / "001.txt", text)
    else:
        write(boxes / "train" / "001.xml", BOXES["xml"].replace("a.png", "001.png"))
        text = BOXES["xml"].replace("a.png", "001.png").replace("<xmin>10", "<xmin>25")
        write(boxes / "val" / "001.xml", text)
    train, val = (tmp_path / "img" / one / "001.png" for one in YOLO)
    read_boxes(boxes).check_any([train, val])
    assert edges(boxes, train) == [(10, 20, 30, 60)]
    assert edges(boxes, val) == [(25, 20, 30, 60) if suffix == "xml" else (40, 40, 60, 60)]


def test_boxes_that_could_be_those_of_two_fields_are_refused_in_one_line(tmp_path: Path) -> None:
    for folder, text in YOLO.items():
        write(tmp_path / "boxes" / folder / "001.txt", text)
    boxes = read_boxes(tmp_path / "boxes")
    with pytest.raises(DataError, match="could have the boxes of 'train/001' or") as refused:
        boxes.check_any([Path("img/001.png")])
    assert "\n" not in str(refused.value)
    with pytest.raises(DataError, match="two fields are named '001'"):
        boxes.check_any([Path("a/val/001.png"), Path("b/val/001.png")])


def test_two_images_of_one_name_in_a_coco_file_are_refused(tmp_path: Path) -> None:
    content = json.loads(BOXES["json"])
    content["images"].append({"id": 4, "file_name": "fields/a.png"})
    path = write(tmp_path / "a.json", json.dumps(content))
    with pytest.raises(DataError, match=r"two images are named 'fields/a\.png'"):
        read_boxes(path)


@pytest.mark.parametrize(("score", "expected"), [("", 1.0), (" 0.7", 0.7)])
def test_a_polygon_of_yolo_becomes_the_box_around_it(
    tmp_path: Path, score: str, expected: float
) -> None:
    path = write(tmp_path / "a.txt", f"0 0.1 0.1 0.3 0.1 0.3 0.4 0.1 0.3{score}\n")
    (one,) = read_boxes(path).of(Path("a.png"), SHAPE)
    assert (one.x0, one.y0, one.x1, one.y1) == pytest.approx((10, 10, 30, 40))
    assert one.score == expected


def test_only_a_known_suffix_is_no_part_of_the_name_of_a_field(tmp_path: Path) -> None:
    write(tmp_path / "yolo" / "smear_1_jpg.rf.0a1b2c.txt", YOLO["train"])
    assert edges(tmp_path / "yolo", Path("smear_1_jpg.rf.0a1b2c.jpg")) == [(10, 20, 30, 60)]
    rows = "slide.1,10,20,30,60\nslide.2,40,40,60,60\n"
    table = write(tmp_path / "boxes.csv", "field,x0,y0,x1,y1\n" + rows)
    assert edges(table, Path("slide.2.png")) == [(40, 40, 60, 60)]
    assert edges(table, Path("slide.png")) == []
