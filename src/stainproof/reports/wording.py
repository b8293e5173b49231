"""Sentences of the run report: verdict, findings of an evaluation, facts about the training."""

from collections.abc import Sequence

from stainproof.calibration.abstention import find_threshold
from stainproof.calibration.record import Calibration
from stainproof.errors import ConfigError
from stainproof.evaluation.result import Evaluation
from stainproof.reports.frame import percent, points
from stainproof.runs.artefact import Estimate
from stainproof.runs.card import Card

CALIBRATION_TOLERANCE = 0.01
"""Difference of mean confidence and accuracy below which a model is called well calibrated."""


ERRORS = (0.005, 0.01, 0.02, 0.05, 0.1)
"""Errors among accepted images in the table of abstention."""


def accepted(calibration: Calibration) -> list[tuple[str, str, str, str]]:
    """Return error, threshold, share accepted and images of 1,000 that a person must look at."""
    rows = []
    for error in ERRORS:
        try:
            found = find_threshold(calibration, error)
        except ConfigError:
            rows.append((f"{100 * error:g} %", "cannot be guaranteed", "", ""))
            continue
        share = found.num_accepted / found.num_images
        left = f"{1000 * (1 - share):.0f}"
        rows.append((f"{100 * error:g} %", f"{found.confidence:.4f}", percent(share), left))
    return rows


def verdict(
    card: Card, home: Evaluation | None, away: Sequence[tuple[Evaluation, Estimate | None]]
) -> str:
    """Return one sentence: accuracy on held-out images and the change on other sources.

    Args:
        card: Of the run.
        home: Evaluation on the run's own held-out images, if there is one.
        away: Evaluations on other sources, each with its loss of accuracy against `home`, 0 to 1.
    """
    if home:
        parts = [_accuracy(home, f"its held-out {home.source}"), *_changes(away)]
    elif away:
        parts = [_accuracy(result, f"the {result.source}") for result, _ in away]
    else:
        accuracy = percent(card.best.val_accuracy)
        parts = [f"classified {accuracy} of its validation images correctly at the selected epoch"]
        parts += ["has not been evaluated since"]
    return f"The model {'; it '.join(parts)}."


def findings(result: Evaluation) -> list[str]:
    """Return sentences on the worst class, the most frequent confusion and the calibration."""
    sentences = worst_class(result), _most_frequent_confusion(result), _calibration(result)
    return [sentence for sentence in sentences if sentence]


def worst_class(result: Evaluation) -> str:
    """Return the class of lowest sensitivity with that sensitivity; empty if there is only one."""
    found = [(c.sensitivity, c.name) for c in result.per_class if c.sensitivity]
    if len(found) < 2:
        return ""
    worst, name = min(found, key=lambda pair: pair[0].value)
    return f"Lowest sensitivity: {name}, {worst.percent()}."


def confused_with(result: Evaluation, true: int, num: int = 2) -> str:
    """Return the most frequent wrong predictions of a class, for instance `ig 12 (8.3 %)`.

    Args:
        result: The evaluation.
        true: Position of the class in `result.classes`.
        num: Number of wrong predictions to name.
    """
    row = result.confusion[true]
    wrong = [(count, name) for name, count in zip(result.classes, row, strict=True) if count]
    wrong = sorted((pair for pair in wrong if pair[1] != result.classes[true]), reverse=True)
    named = [f"{name} {count:,} ({percent(count / sum(row))})" for count, name in wrong[:num]]
    return ", ".join(named)


def facts(card: Card, elapsed_s: float | None) -> list[tuple[str, str]]:
    """Return name and value of what was trained, on what and how.

    Args:
        card: Of the run.
        elapsed_s: Seconds of training; None if the run has no history.
    """
    epochs = "1 epoch" if card.num_epochs == 1 else f"{card.num_epochs} epochs"
    if elapsed_s is None:
        best = card.best
        trained = f"{epochs}; epoch {best.epoch} after {_duration(best.elapsed_s)}"
    else:
        trained = f"{epochs} in {_duration(elapsed_s)}"
    num_training = sum(next(iter(card.data.class_counts.values())).values())
    size_px, white = card.preprocessing.size_px, card.preprocessing.white_point
    return [
        ("Network", f"{_layers(card)}; {card.num_parameters:,} parameters"),
        *(
            [("Fine-tuned from", f"{card.start_from}, weights {card.pretrained_sha256[:12]}")]
            if card.start_from
            else []
        ),
        ("Classes", str(len(card.classes))),
        ("Training images", f"{num_training:,} of {card.data.num_images:,}"),
        ("Input", f"{size_px} × {size_px} px, {card.preprocessing.channels}"),
        *([("White point of every image", " ".join(map(str, white)))] if white else []),
        ("Training", trained),
        ("Stopped because", card.stopped),
        *([("Weights", card.mean_of)] if card.mean_of else []),
        *([("Adapted", card.adapted)] if card.adapted else []),
        ("Machine", f"{card.provenance.machine}; threads used: {card.threads}"),
        ("Training precision", card.precision),
        ("Inference engine", card.engine),
        ("Seed", str(card.seed)),
    ]


def _layers(card: Card) -> str:
    network = card.network
    if network.backbone:
        weights = (
            f"weights {card.pretrained_sha256[:12]}" if card.pretrained_sha256 else "random weights"
        )
        return f"{network.backbone}, initialised with {weights}"
    layers = f"convolutions {'-'.join(map(str, network.stem))}"
    if network.stages:
        layers += f", {network.unit} stages {'-'.join(map(str, network.stages))}"
        layers += " with skip connections" if network.skip else ""
    return layers


def _accuracy(result: Evaluation, where: str) -> str:
    found = result.accuracy
    interval = f"95 % interval {points(found.low)} to {points(found.high)}"
    return f"classifies {percent(found.value)} ({interval}) of {where} images correctly"


def _changes(away: Sequence[tuple[Evaluation, Estimate | None]]) -> list[str]:
    changes: dict[str, list[str]] = {"loses": [], "gains": [], "shows no clear change on": []}
    for result, loss in away:
        if loss is None or loss.low <= 0 <= loss.high:
            changes["shows no clear change on"].append(result.source)
        else:
            verb = "loses" if loss.value > 0 else "gains"
            changes[verb].append(f"{points(abs(loss.value))} points on {result.source}")
    return [f"{verb} {_listed(parts)}" for verb, parts in changes.items() if parts]


def _most_frequent_confusion(result: Evaluation) -> str:
    wrong = [
        (count, true, predicted)
        for true, row in enumerate(result.confusion)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    if not wrong:
        return "No mistake."
    count, true, predicted = max(wrong, key=lambda item: item[0])
    total, names = sum(result.confusion[true]), result.classes
    share = f"{count:,} of {total:,} ({percent(count / total)})"
    return f"Most frequent confusion: {names[true]} predicted as {names[predicted]}, {share}."


def _calibration(result: Evaluation) -> str:
    confidence, accuracy = result.mean_confidence, result.accuracy.value
    word = "overconfident" if confidence > accuracy else "underconfident"
    if abs(confidence - accuracy) < CALIBRATION_TOLERANCE:
        word = "well calibrated"
    return (
        f"On average {word}: mean confidence {percent(confidence)}, accuracy {percent(accuracy)}."
    )


def _duration(seconds: float) -> str:
    """Return for instance `1 h 20 min`, `19 min 5 s` or `42 s`."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)
