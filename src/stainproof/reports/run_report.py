"""Results -> one HTML file that opens anywhere, without a network."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import compress
from pathlib import Path

from jinja2 import Template
from markupsafe import Markup

from stainproof.errors import CheckpointError
from stainproof.evaluation.intervals import difference
from stainproof.evaluation.result import (
    EVALUATION_FILE,
    MISTAKES_FOLDER,
    ClassMetrics,
    Evaluation,
    Mistake,
)
from stainproof.reports import figures
from stainproof.reports.frame import read_template
from stainproof.runs.artefact import Estimate
from stainproof.runs.card import Card
from stainproof.runs.folder import RunFolder
from stainproof.runs.history import EpochRecord

TEMPLATE_FILE = "run_report.html.jinja"

SAME_CONFIDENCE = 0.01
"""Mean confidence and accuracy that differ by less are called equal."""


@dataclass(frozen=True)
class Section:
    """One evaluation, ready to print."""

    anchor: str
    result: Evaluation
    is_home: bool
    loss: Estimate | None
    """Accuracy at home minus accuracy here, where both were measured with the run's weights."""
    other_weights: bool
    """Whether other weights than the run's were measured."""
    confusion: Markup
    reliability: Markup
    findings: tuple[str, ...]
    mistakes: tuple[tuple[Mistake, str], ...]
    """Each with its picture as a data URI."""


def render(run: RunFolder, evaluations: Sequence[Path]) -> str:
    """Return the report of a run as one self-contained HTML text.

    The same files give the same text.

    Args:
        run: Run folder with `card.json`, `history.jsonl`, `config.toml` and `examples/`.
        evaluations: Folders with `eval.json` and `mistakes/`, in the order to print them. Those in
            the run's `home/` are of its own held-out images, the test part after the validation.

    Raises:
        CheckpointError: A file is missing or is not what it should be.
    """
    card = run.read_card()
    history = run.read_history()
    if not history:
        raise CheckpointError(f"{run.history}: holds no epoch")
    results = [Evaluation.read(folder / EVALUATION_FILE) for folder in evaluations]
    own = [folder.parent == run.home for folder in evaluations]
    home = _find_home(list(compress(results, own)), card)
    sections = [
        _section(f"source-{rank}", result, folder, home, card, is_home)
        for rank, (result, folder, is_home) in enumerate(
            zip(results, evaluations, own, strict=True), 1
        )
    ]
    return _template().render(
        card=card,
        history=history,
        config_toml=_read_text(run.config),
        facts=_facts(card, history),
        verdict=_verdict(card, home, sections),
        home=home,
        sections=sections,
        class_counts=Markup(figures.class_counts(card.data.class_counts)),
        examples={
            name: [_data_uri(path) for path in sorted((run.examples / name).glob("*.png"))]
            for name in card.classes
        },
        curves=_curves(history, None if card.mean_of else card.best.epoch),
        comparison=_comparison(results),
    )


def _find_home(results: Sequence[Evaluation], card: Card) -> Evaluation | None:
    """Return the last one of the run's own held-out images, which is their test part if any."""
    return next(
        (one for one in reversed(results) if one.weights_sha256 == card.weights_sha256), None
    )


def _section(
    anchor: str,
    result: Evaluation,
    folder: Path,
    home: Evaluation | None,
    card: Card,
    is_home: bool,
) -> Section:
    other_weights = result.weights_sha256 != card.weights_sha256
    comparable = not is_home and not other_weights
    return Section(
        anchor=anchor,
        result=result,
        is_home=is_home,
        loss=difference(home.accuracy, result.accuracy) if home and comparable else None,
        other_weights=other_weights,
        confusion=Markup(figures.confusion(result.confusion, result.classes)),
        reliability=Markup(figures.reliability(result.reliability)),
        findings=_findings(result),
        mistakes=tuple(
            (mistake, _data_uri(folder / MISTAKES_FOLDER / mistake.picture))
            for mistake in result.mistakes
        ),
    )


def _facts(card: Card, history: Sequence[EpochRecord]) -> list[tuple[str, str]]:
    num_learnt = sum(next(iter(card.data.class_counts.values())).values())
    return [
        ("Network", f"{_layers(card)}; {card.num_parameters:,} parameters"),
        ("Classes", f"{len(card.classes)}: {', '.join(card.classes)}"),
        ("Learnt from", f"{num_learnt:,} of {card.data.num_images:,} images"),
        (
            "Input",
            f"{card.preprocessing.size_px} x {card.preprocessing.size_px} px, {card.preprocessing.channels}",
        ),
        ("Training", f"{card.num_epochs} epochs in {_duration(history[-1].elapsed_s)}"),
        ("Ended because", card.stopped),
        *([("Weights", card.mean_of)] if card.mean_of else []),
        ("Machine", f"{card.provenance.machine}; threads used: {card.threads}"),
        ("Computed in", f"{card.precision}; answers with {card.engine}"),
        ("Seed", str(card.seed)),
    ]


def _layers(card: Card) -> str:
    network = card.network
    if network.backbone:
        began = (
            f"weights {card.pretrained_sha256[:12]}" if card.pretrained_sha256 else "random weights"
        )
        return f"{network.backbone}, begun with {began}"
    layers = f"convolutions {'-'.join(map(str, network.stem))}"
    if network.stages:
        layers += f", {network.unit} stages {'-'.join(map(str, network.stages))}"
        layers += " with skips" if network.skip else ""
    return layers


def _verdict(card: Card, home: Evaluation | None, sections: Sequence[Section]) -> str:
    """Say in one sentence how good the model is at home and what it loses elsewhere."""
    away = [part for part in sections if not part.is_home and not part.other_weights]
    if home:
        parts = [_right_in_words(home, f"its held-out {home.source}"), *_changes_in_words(away)]
    elif away:
        parts = [_right_in_words(part.result, f"the {part.result.source}") for part in away]
    else:
        accuracy = _percent(card.best.val_accuracy)
        parts = [f"classified {accuracy} of its validation images correctly at the kept epoch"]
        parts += ["has not been measured since"]
    return f"The model {'; it '.join(parts)}."


def _right_in_words(result: Evaluation, where: str) -> str:
    found = result.accuracy
    interval = f"95 % interval {_points(found.low)} to {_points(found.high)}"
    return f"classifies {_percent(found.value)} ({interval}) of {where} images correctly"


def _changes_in_words(away: Sequence[Section]) -> list[str]:
    changes: dict[str, list[str]] = {"loses": [], "gains": [], "shows no clear change on": []}
    for section in away:
        loss, source = section.loss, section.result.source
        if loss is None or loss.low <= 0 <= loss.high:
            changes["shows no clear change on"].append(source)
        else:
            verb = "loses" if loss.value > 0 else "gains"
            changes[verb].append(f"{_points(abs(loss.value))} points on {source}")
    return [f"{verb} {_listed(parts)}" for verb, parts in changes.items() if parts]


def _findings(result: Evaluation) -> tuple[str, ...]:
    """Say in words what the figures of an evaluation show."""
    said = _weakest_class(result.per_class), _commonest_confusion(result), _calibration(result)
    return tuple(filter(None, said))


def _weakest_class(classes: Sequence[ClassMetrics]) -> str:
    found = [(c.sensitivity, c.name) for c in classes if c.sensitivity]
    if len(found) < 2:
        return ""
    worst, name = min(found, key=lambda pair: pair[0].value)
    return f"Hardest class: {name}, sensitivity {worst.percent()}."


def _commonest_confusion(result: Evaluation) -> str:
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
    share = f"{count:,} of {total:,} ({_percent(count / total)})"
    return f"Commonest mistake: {names[true]} taken for {names[predicted]}, {share}."


def _calibration(result: Evaluation) -> str:
    sure = sum(item.confidence * item.num_images for item in result.reliability)
    sure /= sum(item.num_images for item in result.reliability)
    right = result.accuracy.value
    word = "overconfident" if sure > right else "underconfident"
    if abs(sure - right) < SAME_CONFIDENCE:
        word = "as confident as it should be"
    return f"On average {word}: mean confidence {_percent(sure)}, accuracy {_percent(right)}."


def _curves(history: Sequence[EpochRecord], kept_epoch: int | None) -> list[tuple[str, Markup]]:
    losses = {
        "training": [record.loss for record in history],
        "validation": [record.val_loss for record in history],
    }
    shifted = [record.val_augmented_accuracy for record in history]
    accuracies = {
        "training": [record.accuracy for record in history],
        "validation": [record.val_accuracy for record in history],
        "shifted validation": [value for value in shifted if value is not None],
    }
    if None in shifted:
        del accuracies["shifted validation"]
    rates = {"learning rate": [record.learning_rate for record in history]}
    drawn = {
        "Loss": figures.curve(losses, kept_epoch, "Loss"),
        "Accuracy": figures.curve(accuracies, kept_epoch, "Accuracy", percent=True),
        "Learning rate": figures.curve(rates, kept_epoch, "Learning rate", colours=["third"]),
    }
    return [(title, Markup(svg)) for title, svg in drawn.items()]


def _comparison(results: Sequence[Evaluation]) -> Markup | None:
    """Draw every class on every source, where there is more than one source."""
    if len(results) < 2:
        return None
    sources = [
        (result.source, {c.name: c.sensitivity for c in result.per_class if c.sensitivity})
        for result in results
    ]
    return Markup(figures.sensitivities(sources))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: missing or unreadable") from error


def _data_uri(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: missing or unreadable") from error
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"


@cache
def _template() -> Template:
    return read_template(TEMPLATE_FILE, percent=_percent, points=_points)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def _points(share: float) -> str:
    return f"{100 * share:.1f}".replace("-", "\N{MINUS SIGN}")


def _duration(seconds: float) -> str:
    """Return for instance `1 h 20 min`, `19 min 5 s` or `42 s`."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)
