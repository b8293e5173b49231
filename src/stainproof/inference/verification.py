"""Verify a run folder or an ensemble: its files, its engines, and its card."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from stainproof import files
from stainproof.data.images import Images
from stainproof.errors import StainproofError
from stainproof.inference.engines import DEFAULT, open_engine
from stainproof.inference.member import Member
from stainproof.runs.card import Card
from stainproof.runs.check import Check, compare
from stainproof.runs.ensemble import Ensemble, is_ensemble
from stainproof.runs.folder import RunFolder
from stainproof.runs.manifest import HashedFolder, hash_of
from stainproof.runs.shipped import find_run

MAX_DIFFERENCE = 1e-4
"""Largest difference of the probabilities of two exact engines."""
NUM_IMAGES = 64


def verify(run: str | Path) -> list[Check]:
    """Verify a run folder or an ensemble: files, engines, and the card.

    Every file of the manifest is hashed; weights and ONNX model predict the example images of the
    run (random images if it has none); the card is compared with weights, split, settings and
    history. What a run of an earlier version lacks is skipped.

    Args:
        run: The folder.

    Returns:
        One check for each comparison.

    Raises:
        CheckpointError: There is no such folder, or a training is writing to it.
    """
    folder = RunFolder(find_run(run))
    folder.check_exists()
    if not is_ensemble(folder.path):
        return _verify_run(folder)
    checks = _check_files(folder)
    try:
        members = Ensemble.of(folder.path).folders(folder.path)
    except StainproofError as error:
        return [*checks, Check("ensemble.json", "failed", str(error))]
    for path in members:
        checks += [
            Check(f"{path.name}/{one.name}", one.outcome, one.detail)
            for one in _verify_run(RunFolder(path))
        ]
    return checks


def _verify_run(run: RunFolder) -> list[Check]:
    run.check_not_in_training()
    checks = _check_files(run)
    try:
        card = run.read_card()
    except StainproofError as error:
        return [*checks, Check("card", "failed", str(error))]
    named = {
        run.best: card.weights_sha256,
        run.onnx: card.onnx_sha256,
        run.int8: card.int8_sha256,
        run.calibration: card.calibration_sha256,
    }
    comparisons = (
        *((f"card and {path.name}", _named(run, path, sha256)) for path, sha256 in named.items()),
        ("card and splits.csv", _split(run, card)),
        ("card and config.toml", _config(run, card)),
        ("card and history.jsonl", _history(run, card)),
        ("weights and ONNX model", _engines(run, card)),
    )
    for name, found in comparisons:
        try:
            checks += [Check(name, one.outcome, one.detail) for one in found]
        except StainproofError as error:
            checks.append(Check(name, "failed", str(error)))
    return checks


def _check_files(folder: HashedFolder) -> list[Check]:
    """Return a check for every file of the manifest."""
    try:
        manifest = folder.read_manifest()
    except StainproofError as error:
        return [Check("manifest.json", "failed", str(error))]
    if manifest is None:
        return [Check("manifest.json", "skipped", "none; made by an earlier version")]
    checks = []
    for name in manifest.files:
        path = folder.path / name
        try:
            there = folder.accepts(path, hash_of(path), manifest)
            detail = "SHA-256 as in manifest.json" if there else "altered"
            checks.append(Check(name, "ok" if there else "failed", detail))
        except StainproofError:
            checks.append(Check(name, "failed", "missing or unreadable"))
    return checks


def _named(run: RunFolder, path: Path, sha256: str) -> Iterator[Check]:
    if sha256:
        run.read_named(path, sha256)
        yield Check("", "ok", "SHA-256 as in the card")
    elif path == run.onnx:
        yield Check("", "skipped", "the card names none; training has not ended")


def _split(run: RunFolder, card: Card) -> Iterator[Check]:
    if run.splits.exists():
        run.check_split(card.data.split_sha256)
        yield Check("", "ok", "SHA-256 as in the card")


def _config(run: RunFolder, card: Card) -> Iterator[Check]:
    config = run.read_config()
    wrong = [
        f"{key} differs"
        for key in ("preprocessing", "network", "seed")
        if getattr(config, key) != getattr(card, key)
    ]
    yield compare("", wrong, "the same preprocessing, network and seed")


def _history(run: RunFolder, card: Card) -> Iterator[Check]:
    if not run.history.exists():
        return
    history, wrong = run.read_history(), []
    if len(history) < card.num_epochs:
        wrong.append(f"{len(history)} epochs in the history, {card.num_epochs} in the card")
    elif not card.mean_of and history[card.best.epoch - 1] != card.best:
        wrong.append(f"epoch {card.best.epoch} differs")
    yield compare("", wrong, f"the same epoch {card.best.epoch} of {card.num_epochs}")


def _engines(run: RunFolder, card: Card) -> Iterator[Check]:
    """Compare the probabilities of PyTorch and ONNX Runtime."""
    if not card.onnx_sha256:
        return
    images = _images(run, card)
    probs = [
        Member(open_engine(name, run, card), card, run, name).proba(images)
        for name in ("torch", DEFAULT)
    ]
    largest = float(np.abs(probs[0] - probs[1]).max())
    found = f"probabilities of {len(images)} images differ by at most {largest:.1e}"
    wrong = [f"{found}; allowed: {MAX_DIFFERENCE:.0e}"] if largest > MAX_DIFFERENCE else []
    yield compare("", wrong, found)


def _images(run: RunFolder, card: Card) -> Images:
    """Return example images that have the input size, or random images; uint8 (n, s, s, 3)."""
    size = card.preprocessing.size_px
    pictures = []
    for path in sorted(run.examples.glob("*/*.png"))[:NUM_IMAGES]:
        try:
            with files.open_regular(path) as file, Image.open(file) as picture:
                if picture.size == (size, size):
                    pictures.append(np.asarray(picture.convert("RGB")))
        except Exception:  # a damaged example is no reason to stop; the report names it
            continue
    if pictures:
        return np.stack(pictures)
    return np.random.default_rng(0).integers(256, size=(NUM_IMAGES, size, size, 3), dtype=np.uint8)
