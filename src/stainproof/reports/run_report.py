"""HTML page of a run: which classes fail on which source, then data, training and settings."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from stainproof.calibration.abstention import count_accepted
from stainproof.calibration.record import Calibration, read_calibration
from stainproof.errors import CheckpointError
from stainproof.evaluation.intervals import difference
from stainproof.evaluation.result import ClassMetrics, Evaluation, Mistake
from stainproof.reports import figures, own_files, wording
from stainproof.reports.explanation_page import overlay_uri
from stainproof.reports.frame import render_page
from stainproof.runs.artefact import Estimate
from stainproof.runs.card import Card
from stainproof.runs.folder import RunFolder
from stainproof.runs.history import EpochRecord

Explain = Callable[[list[NDArray[np.uint8]], Sequence[str]], list[NDArray[np.float32]]]
"""Returns the map of each image for its class."""
MAX_CLASSES_IN_FIGURE = 30
"""If there are more classes, figures show the worst or the rarest, and tables fold the others."""
MAX_CLASSES_IN_MATRIX = 20
"""Classes that a confusion matrix shows if there are more than `MAX_CLASSES_IN_FIGURE`."""
NUM_CONFUSED_PAIRS = 20
"""Rows of the table that, for more classes than fit a narrow screen, goes with the matrix."""
MAX_CLASSES_NARROW = 10
MAX_EXAMPLES = 120
"""Example images in the page: they bound its size for runs of many classes."""


@dataclass(frozen=True)
class ClassRow:
    """One class of an evaluation, ready to print."""

    metrics: ClassMetrics
    confused_with: str


@dataclass(frozen=True)
class Section:
    """One evaluation, ready to print."""

    anchor: str
    result: Evaluation
    is_home: bool
    loss: Estimate | None
    """Accuracy at home minus accuracy here, if both were measured with the run's weights."""
    has_other_weights: bool
    """Whether other weights than the run's were evaluated."""
    findings: tuple[str, ...]
    worst_class: str
    classes: tuple[ClassRow, ...]
    """The lowest sensitivity first, absent classes last."""
    confusion: Markup
    confused_pairs: tuple[tuple[str, str, int, float], ...]
    """True class, predicted class, count, share of the true class; empty beside a small matrix."""
    reliability: Markup
    uncalibrated_reliability: Markup | None
    mistakes: tuple[tuple[Mistake, str, str], ...]
    """Each with its picture and the explanation of the prediction as data URIs; the last is empty
    if none was made."""


def render(run: RunFolder, evaluations: Sequence[Path], explain: Explain | None = None) -> str:
    """Return the report of a run as one self-contained HTML text.

    The same files give the same text.

    Args:
        run: Run folder with `card.json`, `history.jsonl`, `config.toml` and `examples/`.
        evaluations: Folders with `eval.json` and `mistakes/`, in the order to print them. Those in
            the run's `home/` are of its own held-out images, the test part after the validation.
        explain: Returns the maps of images for the named classes, see
            `Classifier.explain_standardised`; None: the mistakes are not explained.

    Raises:
        CheckpointError: A file is missing or is not what it should be.
    """
    card = run.read_card()
    history = run.read_history()[: card.num_epochs]  # a training may have written more meanwhile
    if not history:
        raise CheckpointError(f"{run.history}: holds no epoch")
    results = [own_files.read_evaluation(run, folder) for folder in evaluations]
    pictures_of = [
        own_files.pictures_of(run, folder, result)
        for folder, result in zip(evaluations, results, strict=True)
    ]
    explanations_of = [
        _explanations(run, folder, result, card, explain)
        for folder, result in zip(evaluations, results, strict=True)
    ]
    own = [folder.parent == run.home for folder in evaluations]
    home = _find_home(list(compress(results, own)), card)
    sections = [
        _section(f"source-{rank}", result, pictures, home, card, is_home)
        for rank, (result, pictures, is_home) in enumerate(
            zip(results, zip(pictures_of, explanations_of, strict=True), own, strict=True), 1
        )
    ]
    away = [one for one in sections if not one.is_home and not one.has_other_weights]
    ranked = _rank_classes(results, card.classes)
    calibration = read_calibration(run)
    return render_page(
        "run_report.html.jinja",
        source=card.data.source,
        provenance=card.provenance,
        card=card,
        history=history,
        config_toml=own_files.read_settings(run),
        facts=wording.facts(card, history[-1].elapsed_s),
        verdict=wording.verdict(card, home, [(one.result, one.loss) for one in away]),
        home=home,
        sections=sections,
        max_rows=MAX_CLASSES_IN_FIGURE,
        class_counts=_class_counts(card),
        examples=_examples(run, ranked),
        curves=_curves(history, None if card.mean_of else card.best.epoch),
        comparison=_comparison(results, ranked),
        calibration=calibration,
        accepted=wording.accepted(calibration) if calibration else (),
        risk=_risk(calibration) if calibration else None,
    )


def _explanations(
    run: RunFolder, folder: Path, result: Evaluation, card: Card, explain: Explain | None
) -> list[str]:
    """Return the explanation of each mistake as a data URI; empty texts without explanations.

    Mistakes of other weights than the run's are not explained.
    """
    if explain is None or result.weights_sha256 != card.weights_sha256:
        return [""] * len(result.mistakes)
    images = own_files.mistaken_images(run, folder, result)
    maps = explain(images, [mistake.predicted for mistake in result.mistakes])
    return [overlay_uri(rgb, heat) for rgb, heat in zip(images, maps, strict=True)]


def _risk(calibration: Calibration) -> Markup:
    """Draw the error among accepted images by the share of the images accepted."""
    _, num_accepted, num_wrong = count_accepted(calibration)
    shares = num_accepted / calibration.num_images
    return Markup(figures.risk(shares.tolist(), (num_wrong / num_accepted).tolist()))


def _find_home(results: Sequence[Evaluation], card: Card) -> Evaluation | None:
    """Return the last one of the run's own held-out images, which is their test part if any."""
    return next(
        (one for one in reversed(results) if one.weights_sha256 == card.weights_sha256), None
    )


def _section(
    anchor: str,
    result: Evaluation,
    pictures: tuple[Sequence[str], Sequence[str]],
    home: Evaluation | None,
    card: Card,
    is_home: bool,
) -> Section:
    has_other_weights = result.weights_sha256 != card.weights_sha256
    comparable = not is_home and not has_other_weights
    is_large = len(result.classes) > MAX_CLASSES_IN_FIGURE
    return Section(
        anchor=anchor,
        result=result,
        is_home=is_home,
        loss=difference(home.accuracy, result.accuracy) if home and comparable else None,
        has_other_weights=has_other_weights,
        findings=tuple(wording.findings(result)),
        worst_class=wording.worst_class(result),
        classes=tuple(_class_rows(result)),
        confusion=Markup(_worst_confusion(result) if is_large else _full_confusion(result)),
        confused_pairs=tuple(_confused_pairs(result)),
        reliability=Markup(figures.reliability(result.reliability)),
        uncalibrated_reliability=(
            Markup(figures.reliability(result.uncalibrated_reliability))
            if result.uncalibrated_reliability
            else None
        ),
        mistakes=tuple(zip(result.mistakes, *pictures, strict=True)),
    )


def _class_rows(result: Evaluation) -> list[ClassRow]:
    rows = [
        ClassRow(metrics, wording.confused_with(result, index))
        for index, metrics in enumerate(result.per_class)
    ]
    return sorted(rows, key=lambda row: _value(row.metrics.sensitivity))


def _value(estimate: Estimate | None) -> float:
    """Return the value; of what is absent, one above all shares, which sorts it last."""
    return estimate.value if estimate else 2.0


def _full_confusion(result: Evaluation) -> str:
    return figures.confusion(result.confusion, result.classes)


def _worst_confusion(result: Evaluation) -> str:
    """Draw the confusion matrix of the most confused classes; all others are one column."""
    in_pairs = (index for _, *pair in _ranked_pairs(result) for index in pair)
    ranked = list(dict.fromkeys([*in_pairs, *range(len(result.classes))]))
    shown = sorted(ranked[:MAX_CLASSES_IN_MATRIX])
    counts = []
    for actual in shown:
        row = [result.confusion[actual][predicted] for predicted in shown]
        counts.append([*row, sum(result.confusion[actual]) - sum(row)])
    return figures.confusion(counts, [*(result.classes[i] for i in shown), "other classes"])


def _ranked_pairs(result: Evaluation) -> list[tuple[int, int, int]]:
    """Return count, true class and predicted class of all confusions, the most frequent first."""
    pairs = [
        (count, actual, predicted)
        for actual, row in enumerate(result.confusion)
        for predicted, count in enumerate(row)
        if count and actual != predicted
    ]
    return sorted(pairs, key=lambda pair: -pair[0])


def _confused_pairs(result: Evaluation) -> list[tuple[str, str, int, float]]:
    """Return the most frequent confusions, if the matrix is too large for a narrow screen."""
    names = result.classes
    if len(names) <= MAX_CLASSES_NARROW:
        return []
    return [
        (names[actual], names[predicted], count, count / sum(result.confusion[actual]))
        for count, actual, predicted in _ranked_pairs(result)[:NUM_CONFUSED_PAIRS]
    ]


def _rank_classes(results: Iterable[Evaluation], classes: Sequence[str]) -> list[str]:
    """Return the classes, the one with the lowest sensitivity on any source first."""
    lowest = dict.fromkeys(classes, _value(None))
    for result in results:
        for item in result.per_class:
            if item.name in lowest:
                lowest[item.name] = min(lowest[item.name], _value(item.sensitivity))
    return sorted(classes, key=lambda name: lowest[name])


def _comparison(results: Sequence[Evaluation], ranked: Sequence[str]) -> Markup | None:
    """Draw the sensitivity of the worst classes on every source, if there is more than one."""
    if len(results) < 2:
        return None
    sources = [
        (result.source, {c.name: c.sensitivity for c in result.per_class if c.sensitivity})
        for result in results
    ]
    present = [name for name in ranked if any(name in by_class for _, by_class in sources)]
    return Markup(figures.sensitivities(sources, present[:MAX_CLASSES_IN_FIGURE]))


def _class_counts(card: Card) -> Markup:
    """Draw the images by class and split; of many classes, those with the fewest images."""
    counts = card.data.class_counts
    classes = list(card.classes)
    if len(classes) > MAX_CLASSES_IN_FIGURE:
        classes.sort(key=lambda name: sum(by_class[name] for by_class in counts.values()))
        classes = classes[:MAX_CLASSES_IN_FIGURE]
    shown = {
        split: {name: by_class[name] for name in classes} for split, by_class in counts.items()
    }
    return Markup(figures.class_counts(shown))


def _examples(run: RunFolder, ranked: Sequence[str]) -> dict[str, list[str]]:
    """Return the examples of every class as data URIs, fewer a class if there are many classes."""
    num_per_class = max(1, MAX_EXAMPLES // len(ranked))
    return {
        name: [
            own_files.read_picture(path, run.path)
            for path in sorted((run.examples / name).glob("[0-9]*.png"))[:num_per_class]
        ]
        for name in sorted(ranked[:MAX_EXAMPLES])
    }


def _curves(history: Sequence[EpochRecord], selected: int | None) -> list[tuple[str, Markup]]:
    losses = {
        "training": [record.loss for record in history],
        "validation": [record.val_loss for record in history],
    }
    augmented = [record.val_augmented_accuracy for record in history]
    accuracies = {
        "training": [record.accuracy for record in history],
        "validation": [record.val_accuracy for record in history],
        "augmented validation": [value for value in augmented if value is not None],
    }
    if None in augmented:
        del accuracies["augmented validation"]
    rates = {"learning rate": [record.learning_rate for record in history]}
    drawn = {
        "Loss": figures.curve(losses, selected, "Loss"),
        "Accuracy": figures.curve(accuracies, selected, "Accuracy", percent=True),
        "Learning rate": figures.curve(rates, selected, "Learning rate", colours=["third"]),
    }
    return [(title, Markup(svg)) for title, svg in drawn.items()]
