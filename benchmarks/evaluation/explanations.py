"""Explanations: deletion test and sanity check of class activation maps.

python -m benchmarks.evaluation.explanations MODEL --on CELLS [--images 96]

Deletion (Petsiuk et al. 2018, "RISE", section 4.1): the pixels of an image are replaced by a
blurred copy, those first that a map ranks highest. The lower the probability of the predicted
class, the better the map. Compared are Layer-CAM, which stainproof uses, Grad-CAM, the distance to
the centre, where the cell is, and smooth random maps. Sanity check (Adebayo et al. 2018): the maps
of the trained network are compared with those of random weights.
"""

import argparse
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common.page import made_on, write_section
from stainproof.config.schema import Config
from stainproof.data import sources
from stainproof.data.images import Images
from stainproof.inference.classifier import Classifier
from stainproof.inference.explanation import ActivationMapper
from stainproof.models.network import build_network
from stainproof.models.preprocessing import to_tensor

SHARES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares of the pixels that are replaced."""
BLUR_PX = 12.0
"""Standard deviation of the blur."""
Maps = NDArray[np.float32]


def grad_cam(mapper: ActivationMapper, images: Images, targets: Sequence[int]) -> Maps:
    """Return the maps of Grad-CAM (Selvaraju et al. 2017) at the same layer."""
    x_bchw = to_tensor(torch.from_numpy(images), mapper.preprocessing)
    features = mapper.features(x_bchw).detach().requires_grad_(True)
    chosen = mapper.head(features)[torch.arange(len(targets)), torch.tensor(targets)].sum()
    (gradients,) = torch.autograd.grad(chosen, features)
    weights = gradients.mean((2, 3), keepdim=True)
    maps: Maps = (weights * features).sum(1).relu().detach().numpy()
    return maps


def enlarge(coarse: Maps, size_px: int) -> Maps:
    """Return maps of the size of the images."""
    return np.stack([cv2.resize(one, (size_px, size_px)) for one in coarse])


def deletion(
    classifier: Classifier, images: Images, maps: Maps, classes: NDArray[np.int64]
) -> list[float]:
    """Return the mean probability of the predicted class after each share of replaced pixels."""
    blurred = np.stack([cv2.GaussianBlur(rgb, (0, 0), BLUR_PX) for rgb in images])
    flat = maps.reshape(len(maps), -1)
    ranks = (-flat).argsort(axis=1, kind="stable").argsort(axis=1).reshape(maps.shape)
    curve = []
    for share in SHARES:
        is_replaced = ranks < share * flat.shape[1]
        probs = classifier.predict_proba(np.where(is_replaced[..., None], blurred, images))
        curve.append(float(probs[np.arange(len(images)), classes].mean()))
    return curve


def correlation(first: Maps, second: Maps) -> float:
    """Return the mean over the images of Spearman's rank correlation of two maps."""
    pairs = zip(first, second, strict=True)
    ranks = [[one.ravel().argsort().argsort() for one in pair] for pair in pairs]
    return float(np.nanmean([np.corrcoef(*pair)[0, 1] for pair in ranks]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--on", required=True)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    classifier, rng = Classifier.load(options.model), np.random.default_rng(options.seed)
    data = sources.load(options.on, classifier.preprocessing)
    chosen = rng.permutation(len(data))[: options.images]
    images, size_px = data.images[np.sort(chosen)], classifier.preprocessing.size_px
    probs = classifier.predict_proba(images)
    classes = probs.argmax(axis=1)
    card = classifier.members[0].card
    (mapper, *_) = classifier.mappers
    config = Config(network=card.network, preprocessing=card.preprocessing, seed=options.seed)
    untrained = ActivationMapper(build_network(config, len(card.classes)), card.preprocessing)
    coarse = mapper(images, classes.tolist())
    y, x = np.mgrid[:size_px, :size_px] - (size_px - 1) / 2
    random = [rng.random(coarse.shape[1:]).astype(np.float32) for _ in images]
    maps = {
        "Layer-CAM": enlarge(coarse, size_px),
        "Grad-CAM": enlarge(grad_cam(mapper, images, classes.tolist()), size_px),
        "distance to the centre": np.broadcast_to(-np.hypot(y, x), images.shape[:3]),
        "random": enlarge(np.stack(random), size_px),
    }
    lines = [
        f"| map | {' | '.join(f'{100 * share:g} %' for share in SHARES)} | mean |",
        f"|---|{'---|' * (len(SHARES) + 1)}",
    ]
    for name, one in maps.items():
        curve = deletion(classifier, images, one, classes)
        cells = " | ".join(f"{value:.3f}" for value in (*curve, np.mean(curve)))
        lines.append(f"| {name} | {cells} |")
    sanity = correlation(coarse, untrained(images, classes.tolist()))
    write_section(
        "Explanations",
        f"{len(images)} images of {data.source}, seed {options.seed}; weights "
        f"{card.weights_sha256[:12]}. Mean probability of the predicted class, "
        f"{np.mean(probs.max(axis=1)):.3f} before, after that share of the pixels was replaced by "
        f"a blurred copy; lower is better. Rank correlation of the Layer-CAM maps with those of "
        f"random weights: {sanity:.2f} (1: the same). {made_on()}\n\n" + "\n".join(lines),
    )


if __name__ == "__main__":
    main()
