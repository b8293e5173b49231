"""Packs a finished run as a shipped model of the package.

python -m benchmarks.models.ship RUN NAME --probe CELLS [--fields FIELDS] [--about ABOUT.toml]

`RUN` is a run folder with its evaluations; `NAME` is `stainproof-light` or `stainproof`. The folder
`src/stainproof/shipped/NAME` gets what inference and fine-tuning need: card, settings, weights,
ONNX model, reference of home cells, hashes of the training images, evaluations without pictures,
model card and Croissant metadata. The model card gets the texts of `about.toml`, the commands of
`repeat.toml`, and what the model does with things that are no cells, which is measured. Optimizer
state, history, lists of files, pictures and names of folders of this machine are left out.

Weights with two or more dimensions are rounded to float16, in the weights and in the ONNX model. On
the probe images, which enter nothing, it measures by how much this changes the probabilities.
"""

import argparse
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.models.not_cells import describe
from stainproof import api, files
from stainproof.calibration.record import read_calibration, write_calibration
from stainproof.config.parsing import make_settings, read_toml
from stainproof.config.schema import Config, NetworkConfig
from stainproof.data import sources
from stainproof.data.images import Images
from stainproof.deployment.reference import read_reference
from stainproof.evaluation.corrupted_result import CORRUPTIONS_FILE, CorruptionEvaluation
from stainproof.evaluation.result import EVALUATION_FILE, Evaluation
from stainproof.inference.classifier import Classifier
from stainproof.inference.engines import DEFAULT
from stainproof.inference.export import to_onnx
from stainproof.inference.half_weights import round_weights
from stainproof.inference.onnx_metadata import add_metadata
from stainproof.models.weights import load_network
from stainproof.provenance import Provenance
from stainproof.reports.about import About, read_about
from stainproof.runs.ensemble import refuse_ensemble
from stainproof.runs.folder import RunFolder
from stainproof.runs.shipped import SHIPPED_FOLDER, SHIPPED_NAMES

ABOUT = Path(__file__).with_name("about.toml")
REPEAT = Path(__file__).with_name("repeat.toml")
MAX_CHANGED_LABELS = 0.001
"""Largest share of the probe images whose predicted class may change."""
FOLDERS = re.compile(r"[^\s='\"]*/(?=[^\s/'\"])")
"""The folders of a path in a command."""


@dataclass(frozen=True)
class Packed:
    """What packing changed."""

    num_bytes: int
    num_images: int
    mean_change: float
    """Mean over the images of the largest change of a probability."""
    largest_change: float
    changed_labels: float
    """Share of the images whose predicted class changed."""


def pack(run: Path, out: Path, images: Images) -> Packed:
    """Write a run as a shipped model.

    Args:
        run: The finished run.
        out: Folder to make.
        images: uint8 (n, height, width, 3) on which the change of the probabilities is measured.

    Raises:
        CheckpointError: The run is an ensemble, unfinished or altered, or a weight is beyond the
            range of float16.
        DataError: `out` exists.
    """
    refuse_ensemble(run, "pack a single run")
    whole = RunFolder(run)
    whole.check_not_in_training()
    card = whole.read_card()
    network = load_network(whole, card)
    rounded = round_weights(network.state_dict())
    network.load_state_dict(rounded)
    with files.new_folder(out) as folder:
        packed = RunFolder(folder)
        packed.copy_files(whole, whole.training_hashes)
        packed.write_config(_config_without_folders(whole.read_config()))
        packed.write_weights(packed.best, rounded)
        model = to_onnx(network, card.preprocessing, half_weights=True)
        model = add_metadata(model, card.classes, card.preprocessing)
        changes = {
            "network": _network_without_folders(card.network),
            "provenance": _provenance_without_folders(card.provenance),
            "weights_sha256": files.sha256_of(packed.best),
            "onnx_sha256": packed.write_model(packed.onnx, model),
            "int8_sha256": "",
            "calibration_sha256": "",
            "engine": DEFAULT,
        }
        packed.write_card(card.model_copy(update=changes))
        if calibration := read_calibration(whole):
            stripped = _provenance_without_folders(calibration.provenance)
            write_calibration(packed, calibration.model_copy(update={"provenance": stripped}))
        if reference := read_reference(whole, card.weights_sha256, len(card.classes)):
            rounded_for = reference.of_weights(str(changes["weights_sha256"]))
            packed.write_reference(rounded_for.to_bytes())
        for evaluated in whole.evaluation_folders():
            place = packed.path / evaluated.relative_to(run)
            if (path := evaluated / EVALUATION_FILE).exists():
                result = _without_folders(Evaluation.read(path))
                _write_for_packed(result, place / EVALUATION_FILE, changes)
            if (path := evaluated / CORRUPTIONS_FILE).exists():
                corrupted = CorruptionEvaluation.read(path)
                _write_for_packed(corrupted, place / CORRUPTIONS_FILE, changes)
        before, after = (
            Classifier.load(one, DEFAULT).predict_proba(images) for one in (run, folder)
        )
        change = np.abs(before - after).max(axis=1)
        num_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Packed(
        num_bytes=num_bytes,
        num_images=len(images),
        mean_change=float(change.mean()),
        largest_change=float(change.max()),
        changed_labels=float((before.argmax(axis=1) != after.argmax(axis=1)).mean()),
    )


def _without_folders(result: Evaluation) -> Evaluation:
    """Return an evaluation whose mistakes name files only."""
    mistakes = tuple(
        mistake.model_copy(update={"name": Path(mistake.name).name}) for mistake in result.mistakes
    )
    return result.model_copy(update={"mistakes": mistakes})


def _write_for_packed(
    result: Evaluation | CorruptionEvaluation, path: Path, changes: dict[str, Any]
) -> None:
    """Write an evaluation of the run as one of the packed weights, which it is up to rounding."""
    kept = {
        "weights_sha256": changes["weights_sha256"],
        "provenance": _provenance_without_folders(result.provenance),
    }
    result.model_copy(update=kept).write(path)


def _about(model: Path, path: Path, fields: Path | None) -> About:
    """Return the texts of the model card of a packed model."""
    commands = read_toml(REPEAT)[model.name]
    measured = {"repeat": commands, "not_cells": describe(model, fields)}
    return read_about(path).model_copy(update=measured)


def _provenance_without_folders(provenance: Provenance) -> Provenance:
    return provenance.model_copy(update={"command": FOLDERS.sub("", provenance.command)})


def _network_without_folders(network: NetworkConfig) -> NetworkConfig:
    return network.model_copy(update={"pretrained": Path(network.pretrained).name})


def _config_without_folders(config: Config) -> Config:
    """Return settings whose paths are names of files only."""
    tree = config.model_dump()
    for group, key in (
        ("network", "pretrained"), ("training", "teacher"), ("training", "start_from"),
        ("augment", "pictures"), ("source", "class_map"),
    ):  # fmt: skip
        if tree[group].get(key):
            tree[group][key] = Path(tree[group][key]).name
    return make_settings(Config, tree)


def main(arguments: Sequence[str] | None = None) -> None:
    """Pack a run and say what it changed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("name", choices=SHIPPED_NAMES)
    parser.add_argument("--probe", required=True, help="cells that measure the rounding")
    parser.add_argument("--fields", type=Path, help="photographs of smears with boxes.csv")
    parser.add_argument("--about", type=Path, default=ABOUT, help="texts of the model card")
    parser.add_argument("--out", type=Path, default=SHIPPED_FOLDER, help="another folder")
    options = parser.parse_args(arguments)
    card = RunFolder(options.run).read_card()
    images = sources.load(options.probe, card.preprocessing).images
    model = options.out / options.name
    shutil.rmtree(model, ignore_errors=True)
    packed = pack(options.run, model, images)
    print(
        f"{model}: {packed.num_bytes / 1e6:.2f} MB; float16 changes the "
        f"probabilities of {packed.num_images} images by {packed.mean_change:.1e} on average and "
        f"{packed.largest_change:.1e} at most, "
        f"and {100 * packed.changed_labels:.2f} % of the labels"
    )
    if packed.changed_labels > MAX_CHANGED_LABELS:
        raise SystemExit(f"more than {100 * MAX_CHANGED_LABELS:g} % of the labels changed")
    about = _about(model, options.about, options.fields)
    api.write_model_card(model, model, about)
    if any(check.outcome == "failed" for check in api.verify(model)):
        raise SystemExit("the packed model does not pass stainproof verify")


if __name__ == "__main__":
    main()
