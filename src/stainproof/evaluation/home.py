"""Complete a trained run: ONNX model, engine, calibration, evaluations of held-out images."""

from dataclasses import replace

import numpy as np

from stainproof.calibration.record import write_calibration
from stainproof.data.copies import canonical_hashes
from stainproof.data.dataset import Dataset
from stainproof.data.splits import VAL
from stainproof.evaluation.calibrating import fit_home_calibration
from stainproof.evaluation.evaluator import evaluate
from stainproof.inference.classifier import Classifier
from stainproof.inference.engines import choose_engine
from stainproof.progress import Track
from stainproof.runs.card import Card
from stainproof.runs.folder import HOME_SOURCES, RunFolder


def export_and_evaluate(
    run: RunFolder, card: Card, parts: dict[str, Dataset], track: Track
) -> Card:
    """Complete a run that has its weights: ONNX model, engine, calibration, evaluations.

    Args:
        run: The run folder.
        card: Its card.
        parts: Split -> images; the validation and test images are evaluated.
        track: Shows progress.

    Returns:
        The complete card.
    """
    from stainproof.inference.export import to_onnx
    from stainproof.inference.onnx_metadata import add_metadata
    from stainproof.models.weights import load_network

    model = to_onnx(load_network(run, card), card.preprocessing)
    model = add_metadata(model, card.classes, card.preprocessing)
    card = card.model_copy(
        update={
            "onnx_sha256": run.write_model(run.onnx, model),
            "int8_sha256": "",
            "calibration_sha256": "",
        }
    )
    card = card.model_copy(update={"engine": choose_engine(run, card)})
    run.report.unlink(missing_ok=True)  # a run is finished when this card has a report
    run.write_card(card)
    val = replace(parts[VAL], source=HOME_SOURCES[VAL])
    calibration = fit_home_calibration(Classifier.load(run.path), val, run.read_config(), track)
    if calibration:
        write_calibration(run, calibration)
    classifier = Classifier.load(run.path)
    for part, name in HOME_SOURCES.items():
        held_out = replace(parts[part], source=name)
        if len(held_out):
            copies = _num_in_training(run, held_out)
            evaluate(classifier, held_out, run.home / part, num_in_training=copies, track=track)
    return run.read_card()


def _num_in_training(run: RunFolder, data: Dataset) -> int:
    """Count the images that are copies of training images, rotated and mirrored ones included."""
    trained_on = run.read_training_hashes()
    if trained_on is None:  # as of a run of an earlier version
        return 0
    return int(np.isin(canonical_hashes(data.images), trained_on).sum())
