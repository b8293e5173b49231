"""What a classifier takes as images, and what it refuses in one line."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from stainproof.config.schema import InferenceConfig, Preprocessing
from stainproof.errors import DataError
from stainproof.inference.classifier import Classifier
from stainproof.inference.inputs import rgb_batches
from stainproof.inference.member import Member
from stainproof.runs.card import Card
from stainproof.runs.folder import RunFolder
from tests.common.cells import CLASSES
from tests.common.image_files import write_png_16


def mean_colours(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Stand in for an engine: the mean of each channel, so that results show the channel order."""
    means = images.mean((1, 2), dtype=np.float32)
    return np.asarray(means / means.sum(1, keepdims=True), dtype=np.float32)


@pytest.fixture
def classifier() -> Classifier:
    card = SimpleNamespace(classes=CLASSES, preprocessing=Preprocessing(size_px=16))
    run = RunFolder("runs/first")
    return Classifier([Member(mean_colours, cast(Card, card), run, "onnxruntime")])


@pytest.fixture
def rgb() -> NDArray[np.uint8]:
    """Twelve rows, twenty columns, mostly red."""
    image = np.zeros((12, 20, 3), dtype=np.uint8)
    image[...] = 200, 40, 10
    return image


EXPECTED = [0.8, 0.16, 0.04]


def test_one_image_of_every_kind_is_predicted(
    classifier: Classifier, rgb: NDArray[np.uint8], tmp_path: Path
) -> None:
    path = tmp_path / "cell.png"
    Image.fromarray(rgb).save(path)
    kinds: list[Any] = [
        rgb, path, str(path), Image.fromarray(rgb), rgb[:, ::-1], Image.open(path)
    ]  # fmt: skip
    for image in kinds:
        probs = classifier.predict_proba(image)
        assert probs.shape == (1, 3) and probs.dtype == np.float32
        np.testing.assert_allclose(probs[0], EXPECTED, atol=1e-6)
        assert classifier.predict(image) == [CLASSES[0]]
    np.testing.assert_allclose(classifier.predict_proba(kinds), [EXPECTED] * 6, atol=1e-6)
    assert classifier.predict(tuple(kinds)) == [CLASSES[0]] * 6
    assert classifier.predict(rgb[..., ::-1]) == [CLASSES[2]]


@pytest.mark.parametrize("as_list", [False, True])
def test_16_bit_files_are_scaled_by_the_bits_that_their_values_use(
    classifier: Classifier, tmp_path: Path, as_list: bool
) -> None:
    paths = [tmp_path / f"{index}.png" for index in range(1 + as_list)]
    for path, factor in zip(paths, (16, 1), strict=False):  # the second is darker
        values = np.full((12, 20, 3), (200, 40, 10), dtype=np.uint16) * factor
        write_png_16(path, values)
    batches = list(rgb_batches(paths if as_list else paths[0], 1))
    assert [tuple(rgb[0, 0]) for (rgb,) in batches] == [(200, 40, 10), (12, 2, 0)][: len(paths)]
    np.testing.assert_allclose(classifier.predict_proba(paths)[0], EXPECTED, atol=1e-6)


def test_grey_images_and_batches_are_predicted(
    classifier: Classifier, rgb: NDArray[np.uint8]
) -> None:
    grey = np.full((9, 5), 70, dtype=np.uint8)
    np.testing.assert_allclose(classifier.predict_proba(grey), [[1 / 3] * 3], atol=1e-6)
    together = classifier.predict_proba([grey, rgb, rgb[:7, :9], Image.fromarray(grey)])
    np.testing.assert_allclose(together, [[1 / 3] * 3, EXPECTED, EXPECTED, [1 / 3] * 3], atol=1e-6)
    batch = np.stack([rgb] * 130)
    np.testing.assert_allclose(classifier.predict_proba(batch), [EXPECTED] * 130, atol=1e-6)
    assert classifier.predict_proba(batch[:0]).shape == (0, 3)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (None, "got NoneType"),
        ([], "got an empty list"),
        ((), "got an empty tuple"),
        (3, "got int"),
        (b"cell.png", "got bytes"),
        ({"a": 1}, "got dict"),
        ([None], "image 0: .*got NoneType"),
        (SimpleNamespace(), "got types.SimpleNamespace"),
        (np.zeros((8, 8, 3)), r"got float64 \(8, 8, 3\); scale floats in \[0, 1\] by 255"),
        (np.zeros((2, 8, 8, 3)), r"image 0: .*got float64 \(8, 8, 3\)"),
        (np.zeros((8, 8, 3), dtype=np.uint16), r"got uint16 \(8, 8, 3\)$"),
        (np.zeros((8, 8, 4), dtype=np.uint8), r"got uint8 \(8, 8, 4\)"),
        (np.zeros((3, 8, 8), dtype=np.uint8), r"got uint8 \(3, 8, 8\)"),
        (np.zeros(8, dtype=np.uint8), r"got uint8 \(8,\)"),
        (np.zeros((0, 8), dtype=np.uint8), r"got uint8 \(0, 8\)"),
        (np.zeros((1, 1, 8, 8, 3), dtype=np.uint8), r"got uint8 \(1, 1, 8, 8, 3\)"),
        ([np.zeros((8, 8, 3), dtype=np.uint8), "gone.png"], "gone.png: no such file"),
        (".", r"\.: is a folder; name its files, or use stainproof.predict"),
        (Image.new("F", (8, 8)), "image 0: 32-bit samples"),
        (Image.new("RGB", (0, 8)), "image 0: .*got 0 x 8 pixels"),
    ],
)
def test_everything_else_is_refused_in_one_line(
    classifier: Classifier, images: Any, message: str
) -> None:
    for predict in (classifier.predict, classifier.predict_proba):
        with pytest.raises(DataError, match=message) as raised:
            predict(images)
        assert "\n" not in str(raised.value)


def test_a_tensor_is_refused_by_its_name(classifier: Classifier) -> None:
    import torch

    tensor: Any = torch.zeros(8, 8, 3, dtype=torch.uint8)
    with pytest.raises(DataError, match=r"allowed: the path of .*; got torch.Tensor"):
        classifier.predict(tensor)


def test_a_classifier_shows_what_it_is(classifier: Classifier) -> None:
    assert repr(classifier) == (
        "<Classifier first: engine onnxruntime; input 16 x 16 px; "
        "classes basophil, lymphocyte, platelet>"
    )
    (member,) = classifier.members
    both = Classifier([member, member], InferenceConfig(tta="d4"), voting="hard")
    assert repr(both).startswith("<Classifier first + first: hard voting; engine onnxruntime; ")
    assert "16 px; d4; classes" in repr(both)
