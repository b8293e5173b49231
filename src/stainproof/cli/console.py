"""Results on stdout: summaries and tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stainproof.cli.terminal import complain, echo, print_table

if TYPE_CHECKING:
    from stainproof.audit.summary import AuditSummary
    from stainproof.contest.results import Score, SubmissionResult
    from stainproof.deployment.result import Adaptation, CheckResult
    from stainproof.evaluation.corrupted_result import CorruptionEvaluation
    from stainproof.evaluation.count_result import Count
    from stainproof.evaluation.result import ClassMetrics, Evaluation
    from stainproof.runs.card import Card
    from stainproof.search.experiment import Row
    from stainproof.search.results import Search


def print_card(card: "Card", out: Path) -> None:
    """Print how a training ended."""
    best = card.best
    shifted = best.val_augmented_accuracy
    epochs = "1 epoch" if card.num_epochs == 1 else f"{card.num_epochs} epochs"
    ended = f"{card.stopped} after {epochs}; kept epoch {best.epoch}"
    echo(card.mean_of or ended)
    echo(
        f"validation accuracy {100 * best.val_accuracy:.1f} %"
        + (f", augmented {100 * shifted:.1f} %" if shifted is not None else "")
    )
    echo(f"report: {out / 'report.html'}")


def print_audit(summary: "AuditSummary", out: Path) -> None:
    """Print what an audit found."""
    echo(f"{summary.num_images} images in {summary.seconds:.0f} s")
    for kind, num_files in sorted(summary.findings.items()):
        groups = summary.groups.get(kind)
        echo(f"  {kind:17s}{num_files:6d} files" + (f" in {groups} groups" if groups else ""))
    if summary.two_sample_auc:
        apart = summary.two_sample_auc
        echo(
            f"  told apart from {summary.compared_with}: {apart.value:.3f} "
            f"({apart.low:.3f} to {apart.high:.3f}; 0.5 alike, 1 different)"
        )
    if summary.num_copies_against is not None:
        echo(
            f"  images of {summary.compared_with} that are copies of images of {summary.source}: "
            f"{summary.num_copies_against}"
        )
    for note in summary.notes:
        echo(f"  {note}")
    echo(f"cleaning would set aside {summary.num_dropped}; look at {out / 'audit.html'}")


def usage(result: "SubmissionResult | Score") -> str:
    """Return time and memory of a submission as text."""
    memory = f", {result.peak_mb:.0f} MB peak memory" if result.peak_mb else ""
    return f"{result.seconds:.1f} s{memory}"


def print_evaluation(result: "Evaluation") -> None:
    """Print the metrics of an evaluation."""
    absent = f"; no images of {', '.join(result.absent_classes)}" if result.absent_classes else ""
    echo(f"{result.source}: {result.num_images} images{absent}")
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "expected_calibration_error"):
        echo(f"  {name.replace('_', ' '):27s}{getattr(result, name).percent()}")
    if result.uncalibrated_error is not None:
        echo(f"  {'without calibration':27s}{100 * result.uncalibrated_error:.1f} %")
    echo(f"  {result.interval_basis}")
    if result.num_in_training:
        echo(f"  {result.training_copies}")
    for note in result.notes:
        echo(f"  {note}")
    print_classes(result.per_class)


def print_corruptions(result: "CorruptionEvaluation") -> None:
    """Print the balanced accuracy by corruption and severity."""
    for name, value in result.describe().items():
        echo(f"{name}: {value}")
    rows = []
    for name, values in result.balanced_accuracy.items():
        errors = result.calibration_error[name]
        mean = sum(values) / len(values)
        figures = (*values, mean, sum(errors) / len(errors))
        rows.append((name, *(f"{100 * value:.1f} %" for value in figures)))
    header = ("balanced accuracy at severity", "1", "2", "3", "4", "5", "mean", "calibration error")
    print_table(header, rows)


def print_classes(per_class: "Sequence[ClassMetrics]") -> None:
    """Print a table with one row for each class."""
    rows = []
    for row in per_class:
        figures = (row.sensitivity, row.specificity, row.precision)
        rows.append((row.name, row.num_images, *(f.percent() if f else "-" for f in figures)))
    print_table(("class", "images", "sensitivity", "specificity", "precision"), rows)


def print_count(result: "Count", out: Path) -> None:
    """Print a differential count: a table, warnings, and what the intervals assume."""
    unit = {"white": "%", "unclassified": "%", "apart": "per 100"}
    rows = []
    for name, one in result.classes.items():
        if one.percent is None or one.low is None or one.high is None:
            rows.append((name, one.num, "-", "-"))
            continue
        interval = f"{one.low:.1f} to {one.high:.1f}"
        rows.append((name, one.num, f"{one.percent:.1f} {unit[one.kind]}", interval))
    echo(f"{result.num_white} white cells, {result.num_confirmed} of {result.num_cells} confirmed")
    print_table(("class", "cells", "of white cells", "95 % interval"), rows)
    echo(result.needed)
    echo(result.assumption)
    for line in result.warnings:
        complain(f"warning: {line}")
    echo(f"page: {out / 'count.html'}")


def print_ladder(rows: "Sequence[Row]") -> None:
    """Print a table with one row for each step of the ladder."""
    from stainproof.search.ladder import RUNGS
    from stainproof.search.ladder_page import TOO_SHORT

    tests = list(rows[0].accuracy)
    table = []
    for rung, row in zip(RUNGS, rows, strict=True):
        reported = f"{100 * rung.reported:.0f} %" if rung.reported else "-"
        figures = (row.accuracy[name].percent() for name in tests)
        epochs = f"{row.num_epochs}{'*' if row.is_too_short else ''}"
        table.append((rung.what, reported, *figures, epochs, f"{row.minutes:.1f}"))
    print_table(("step", "AN2DL paper", *tests, "epochs", "minutes"), table)
    if any(row.is_too_short for row in rows):
        echo(f"* {TOO_SHORT}")


def print_search(found: "Search", out: Path) -> None:
    """Print the trials of the Pareto front and where their settings are."""
    by_number = {trial.number: trial for trial in found.trials}
    table = []
    for trial in (by_number[number] for number in found.front):
        figures = (f"{100 * (share or 0):.1f} %" for share in (trial.accuracy, trial.val_accuracy))
        costs = f"{trial.num_parameters:,}", f"{trial.latency_ms:.2f}"
        table.append((trial.number, *figures, *costs))
    echo(f"trials on the Pareto front, of {len(found.trials)}:")
    print_table(("trial", "augmented", "original", "parameters", "ms per image"), table)
    echo(f"settings of the most accurate: {out / 'best.toml'}")
    echo(f"page: {out / 'search.html'}")


def print_check(result: "CheckResult", out: Path) -> None:
    """Print the verdict, its reasons and where the page is."""
    echo(f"verdict: {result.verdict}")
    for line in result.reasons:
        echo(f"  {line}")
    rows = [
        (
            one.name,
            one.num_predicted,
            "-" if one.expected_precision is None else f"{100 * one.expected_precision:.1f} %",
            mix.share.percent(),
        )
        for one, mix in zip(result.classes, result.class_mix, strict=True)
    ]
    print_table(("class", "predicted", "expected precision", "estimated share"), rows)
    echo(f"page: {out / 'check.html'}")


def print_adaptation(made: "Adaptation", out: Path) -> None:
    """Print the candidates with their cross-validated figures, and the choice."""
    rows = [
        (
            one.name,
            f"{100 * one.balanced_accuracy:.1f} %",
            f"{one.log_loss:.3f}",
            f"{100 * one.home_balanced_accuracy:.1f} %",
            "chosen" if one.name == made.chosen else one.refused,
        )
        for one in made.candidates
    ]
    print_table(("candidate", "balanced accuracy", "log loss", "home", ""), rows)
    echo(f"run folder: {out}")
