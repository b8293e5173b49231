"""Class activation maps: where the evidence of a network for a class lies."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from stainproof import api
from stainproof.config.schema import InferenceConfig, Preprocessing
from stainproof.data.images import Images
from stainproof.errors import ConfigError, DataError
from stainproof.evaluation.result import Evaluation
from stainproof.inference.classifier import Classifier
from stainproof.inference.explanation import ActivationMapper, mean_maps, on_image
from stainproof.inference.member import Member
from stainproof.models.network import build_network
from stainproof.runs.folder import RunFolder
from tests.common.cells import CLASSES, make_cells, write_cells
from tests.common.command import run_command
from tests.common.tiny import tiny_config

SIZE_PX = 64


def make_corner_cells(num: int, seed: int) -> tuple[Images, np.ndarray, np.ndarray]:
    """Return noise with a disc of the class's colour in one corner: images, labels, discs."""
    rng = np.random.default_rng(seed)
    discs, labels = make_cells(num, SIZE_PX // 2, seed)
    images = np.clip(rng.normal(225, 12, (len(labels), SIZE_PX, SIZE_PX, 3)), 0, 255)
    masks = np.zeros(images.shape[:3], dtype=bool)
    for index, disc in enumerate(discs):
        top, left = rng.integers(0, 2, size=2) * SIZE_PX // 2
        window = slice(top, top + SIZE_PX // 2), slice(left, left + SIZE_PX // 2)
        images[index][window], masks[index][window] = disc, True
    return images.astype(np.uint8), labels, masks


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that knows discs anywhere in the image by their colour."""
    folder = tmp_path_factory.mktemp("explained")
    images, labels, _ = make_corner_cells(40, seed=1)
    for index, (rgb, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / "cells" / CLASSES[label] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rgb).save(path)
    size = f"preprocessing.size_px={SIZE_PX}"
    api.train(folder / "cells", folder / "run", tiny_config(size, "training.epochs=25"))
    return folder / "run"


@pytest.fixture(scope="module")
def classifier(run: Path) -> Classifier:
    return Classifier.load(run)


def test_the_map_lies_on_the_cell(classifier: Classifier) -> None:
    images, labels, masks = make_corner_cells(8, seed=2)
    right = [
        rank
        for rank, name in enumerate(classifier.predict(images))
        if name == CLASSES[labels[rank]]
    ]
    assert len(right) >= 20
    maps = classifier.explain_standardised(
        list(images[right]), [CLASSES[labels[rank]] for rank in right]
    )
    shares = [heat[masks[rank]].sum() / heat.sum() for rank, heat in zip(right, maps, strict=True)]
    assert np.median(shares) > 0.5  # a quarter of the pixels


def test_masking_the_brightest_pixels_lowers_the_probability_faster_than_random_ones(
    classifier: Classifier,
) -> None:
    images, labels, _ = make_corner_cells(8, seed=3)
    names = [CLASSES[label] for label in labels]
    maps = classifier.explain_standardised(list(images), names)
    rng = np.random.default_rng(0)
    smooth = [cv2.resize(rng.random((8, 8)), (SIZE_PX, SIZE_PX)) for _ in images]

    def probability_without(heats: list[np.ndarray]) -> float:
        masked = images.copy()
        for rgb, heat in zip(masked, heats, strict=True):
            rgb[heat > np.quantile(heat, 0.8)] = 225
        columns = [classifier.classes.index(name) for name in names]
        return float(classifier.predict_proba(masked)[np.arange(len(names)), columns].mean())

    assert probability_without(maps) < probability_without(smooth) - 0.1


def test_random_weights_give_another_map(classifier: Classifier) -> None:
    """The sanity check of Adebayo et al. 2018, by Spearman's rank correlation."""
    images, labels, _ = make_corner_cells(8, seed=4)
    card = classifier.members[0].card
    config = tiny_config(f"preprocessing.size_px={SIZE_PX}", seed=9)
    random = ActivationMapper(build_network(config, len(CLASSES)), card.preprocessing)
    trained = classifier.mappers[0]
    pairs = zip(trained(images, labels.tolist()), random(images, labels.tolist()), strict=True)
    ranks = [[one.ravel().argsort().argsort() for one in pair] for pair in pairs]
    correlations = [np.corrcoef(*pair)[0, 1] for pair in ranks]
    assert np.mean(correlations) < 0.5


def test_the_map_has_the_size_of_the_image_and_is_0_outside_of_the_crop(
    classifier: Classifier,
) -> None:
    square = make_corner_cells(1, seed=5)[0][0]
    wide = np.concatenate([np.full((SIZE_PX, 30, 3), 255, np.uint8), square], axis=1)
    wide = np.concatenate([wide, np.full((SIZE_PX, 30, 3), 255, np.uint8)], axis=1)
    heat = classifier.explain(wide)
    assert heat.shape == (SIZE_PX, SIZE_PX + 60)
    assert heat.dtype == np.float32
    assert heat.max() == 1
    assert heat.min() >= 0
    assert not heat[:, :30].any()
    assert not heat[:, -30:].any()
    np.testing.assert_array_equal(heat[:, 30:-30], classifier.explain(square))


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("shape", [(30, 40), (41, 30), (20, 20)])
def test_a_map_of_every_fit_covers_the_image(fit: str, shape: tuple[int, int]) -> None:
    preprocessing = Preprocessing.model_validate({"size_px": 32, "fit": fit})
    rgb = np.zeros((*shape, 3), dtype=np.uint8)
    heat = on_image(np.full((4, 4), 3.0, dtype=np.float32), rgb, preprocessing)
    seen = min(shape) ** 2 if fit == "crop" else shape[0] * shape[1]
    assert (heat.shape, heat.sum()) == (shape, seen)


def test_the_largest_value_of_an_ensembles_map_is_1() -> None:
    card = SimpleNamespace(preprocessing=Preprocessing(size_px=32), classes=CLASSES)
    members = cast(list[Member], [SimpleNamespace(card=card)] * 2)

    def mapper(row: int) -> ActivationMapper:
        coarse = np.zeros((1, 4, 4), dtype=np.float32)
        coarse[0, row] = 1
        return cast(ActivationMapper, lambda squares, targets: coarse)

    image = np.zeros((32, 32, 3), dtype=np.uint8)
    mappers, inference = [mapper(0), mapper(3)], InferenceConfig()
    (heat,) = mean_maps(members, mappers, inference, [image], CLASSES[:1])
    assert (heat.max(), heat[0, 0], heat[-1, -1], heat[16, 16]) == (1, 1, 1, 0)


def test_an_image_without_evidence_has_an_empty_map() -> None:
    rgb = np.zeros((8, 8, 3), dtype=np.uint8)
    heat = on_image(np.zeros((2, 2), dtype=np.float32), rgb, Preprocessing(size_px=32))
    assert not heat.any()


def test_the_class_can_be_chosen_and_an_unknown_one_is_refused(classifier: Classifier) -> None:
    image = make_corner_cells(1, seed=6)[0][0]
    maps = [classifier.explain(image, name) for name in CLASSES]
    assert not np.array_equal(maps[0], maps[1])
    with pytest.raises(DataError, match=r"target 'blast' is unknown; allowed: "):
        classifier.explain(image, "blast")


def test_weights_and_gradients_are_left_alone(classifier: Classifier, run: Path) -> None:
    network = classifier.mappers[0].network
    before = {key: value.clone() for key, value in network.state_dict().items()}
    classifier.explain(make_corner_cells(1, seed=7)[0][0])
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(weight.grad is None for weight in network.parameters())


def test_a_network_without_feature_maps_is_refused() -> None:
    class Tokens(torch.nn.Module):
        pretrained_cfg = "of timm"

        def forward_features(self, x_bchw: torch.Tensor) -> torch.Tensor:
            return x_bchw.flatten(2)

    mapper = ActivationMapper(Tokens(), Preprocessing(size_px=32))
    with pytest.raises(ConfigError, match="needs a convolutional network"):
        mapper(np.zeros((1, 32, 32, 3), dtype=np.uint8), [0])


def test_the_command_writes_a_page_and_lists_what_it_cannot_read(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    cells = write_cells(tmp_path / "cells", num_a_class=1, size_px=SIZE_PX)
    (cells / "basophil" / "<b>.png").write_bytes(b"no image")
    page = tmp_path / "page.html"
    done = run_command(monkeypatch, capfd, "explain", run, cells, "--out", page)
    assert (done.code, done.out.strip()) == (1, str(page))
    assert "1 images could not be read" in done.err
    text = page.read_text()
    assert text.count("data:image/webp") == 6
    assert "<b>.png" not in text
    refused = run_command(
        monkeypatch, capfd, "explain", run, cells, "--out", page, "--target", "blast"
    )
    assert (refused.code, refused.err.count("\n")) == (2, 1)


def test_a_report_explains_its_mistakes_if_asked(run: Path, tmp_path: Path) -> None:
    images, labels, _ = make_corner_cells(2, seed=8)
    for index, (rgb, label) in enumerate(zip(images, labels, strict=True)):
        path = tmp_path / "wrong" / CLASSES[label - 1] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rgb).save(path)
    api.evaluate(run, tmp_path / "wrong")
    plain = api.report(run).read_text()
    explained = api.report(run, explained=True).read_text()
    assert "pixels that support" not in plain
    num_mistakes = sum(
        len(Evaluation.read(folder / "eval.json").mistakes)
        for folder in RunFolder(run).evaluation_folders()
    )
    assert explained.count("pixels that support") == num_mistakes > 0
