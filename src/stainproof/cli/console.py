"""Terminal output: progress bars during work, tables and summaries after it."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from stainproof.progress import Item

if TYPE_CHECKING:
    from stainproof.audit.summary import AuditSummary
    from stainproof.contest.results import Score, SubmissionResult
    from stainproof.evaluation.result import ClassMetrics, Evaluation
    from stainproof.runs.card import Card
    from stainproof.search.experiment import Row
    from stainproof.search.results import Search, Trial
    from stainproof.training.loop import Step


@contextmanager
def progress(if_interrupted: str = "") -> Iterator["Bars"]:
    """Show progress; on an interrupt print a message.

    Args:
        if_interrupted: What can be done after an interrupt, for the message.
    """
    bars = Bars()
    try:
        with bars.progress:
            yield bars
    except KeyboardInterrupt:
        complain("; ".join(filter(None, ("interrupted", if_interrupted))))
        raise


class Bars:
    """Progress bars on a terminal; occasional lines elsewhere."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[figures]}"),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self.training: int | None = None
        self.epoch = 0

    def track(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
        """Yield the items and advance a bar."""
        task = self.progress.add_task(what, total=total, figures="")
        for item in items:
            yield item
            self.progress.advance(task)
        self.progress.remove_task(task)

    def step(self, step: "Step") -> None:
        """Show the progress of training on one line."""
        from rich.progress import TaskID

        figures = (
            f"loss {step.loss:.3f}  accuracy {step.accuracy:.3f}  "
            f"rate {step.learning_rate:.1e}  {step.images_per_s:.0f} images/s"
        )
        if self.progress.disable:
            if step.epoch != self.epoch:
                self.epoch = step.epoch
                typer.echo(f"epoch {step.epoch}  {100 * step.done:.0f} % done  {figures}", err=True)
            return
        if self.training is None:
            self.training = self.progress.add_task("", total=1.0, figures="")
        self.progress.update(
            TaskID(self.training),
            completed=step.done,
            description=f"epoch {step.epoch}",
            figures=figures,
        )


class SearchBar:
    """One bar over the trials of a search; one line for each trial where there is no terminal."""

    def __init__(self, bars: Bars, num_trials: int) -> None:
        self.progress = bars.progress
        self.task = self.progress.add_task("searching", total=num_trials, figures="")
        self.num_ended = 0

    def step(self, step: "Step") -> None:
        """Show the progress of the current trial."""
        self.progress.update(self.task, completed=self.num_ended + step.done)

    def trial(self, found: "Search", trial: "Trial | None") -> None:
        """Show which trial has ended, and the best one."""
        self.num_ended = sum(one.outcome != "running" for one in found.trials)
        best = next((one for one in found.trials if one.number in found.front[:1]), None)
        so_far = f"best {100 * (best.accuracy or 0):.1f} % (trial {best.number})" if best else ""
        self.progress.update(
            self.task,
            completed=self.num_ended,
            description=f"{self.num_ended} of {found.num_trials} trials",
            figures=so_far,
        )
        if trial and self.progress.disable:
            showed = trial.reason or (
                f"{100 * (trial.accuracy or 0):.1f} %, {trial.num_parameters:,} parameters, "
                f"{trial.latency_ms:.2f} ms an image"
            )
            line = f"trial {trial.number} {trial.outcome}: {showed}"
            typer.echo("; ".join(filter(None, (line, so_far))), err=True)


def complain(message: str) -> None:
    """Write one line to stderr."""
    typer.echo(f"stainproof: {message}", err=True)


def print_card(card: "Card", out: Path) -> None:
    """Print how a training ended."""
    best = card.best
    shifted = best.val_augmented_accuracy
    ended = f"{card.stopped} after {card.num_epochs} epochs; kept epoch {best.epoch}"
    typer.echo(card.mean_of or ended)
    typer.echo(
        f"validation accuracy {100 * best.val_accuracy:.1f} %"
        + (f", augmented {100 * shifted:.1f} %" if shifted is not None else "")
    )
    typer.echo(f"report: {out / 'report.html'}")


def print_audit(summary: "AuditSummary", out: Path) -> None:
    """Print what an audit found."""
    typer.echo(f"{summary.num_images} images in {summary.seconds:.0f} s")
    for kind, num_files in sorted(summary.findings.items()):
        groups = summary.groups.get(kind)
        typer.echo(f"  {kind:17s}{num_files:6d} files" + (f" in {groups} groups" if groups else ""))
    if summary.two_sample_auc:
        apart = summary.two_sample_auc
        typer.echo(
            f"  told apart from {summary.compared_with}: {apart.value:.3f} "
            f"({apart.low:.3f} to {apart.high:.3f}; 0.5 alike, 1 different)"
        )
    if summary.num_copies_against is not None:
        typer.echo(
            f"  images of {summary.compared_with} that are copies of images of {summary.source}: "
            f"{summary.num_copies_against}"
        )
    for note in summary.notes:
        typer.echo(f"  {note}")
    typer.echo(f"cleaning would set aside {summary.num_dropped}; look at {out / 'audit.html'}")


def usage(result: "SubmissionResult | Score") -> str:
    """Return time and memory of a submission as text."""
    memory = f", {result.peak_mb:.0f} MB peak memory" if result.peak_mb else ""
    return f"{result.seconds:.1f} s{memory}"


def print_evaluation(result: "Evaluation") -> None:
    """Print the metrics of an evaluation."""
    absent = f"; no images of {', '.join(result.absent_classes)}" if result.absent_classes else ""
    typer.echo(f"{result.source}: {result.num_images} images{absent}")
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "expected_calibration_error"):
        typer.echo(f"  {name.replace('_', ' '):27s}{getattr(result, name).percent()}")
    typer.echo(f"  {result.interval_basis}")
    if result.num_in_training:
        typer.echo(f"  {result.training_copies}")
    print_classes(result.per_class)


def print_classes(per_class: "Sequence[ClassMetrics]") -> None:
    """Print a table with one row for each class."""
    from rich.console import Console
    from rich.table import Table

    table = Table("class", "images", "sensitivity", "specificity", "precision", box=None)
    for row in per_class:
        figures = (row.sensitivity, row.specificity, row.precision)
        table.add_row(row.name, str(row.num_images), *(f.percent() if f else "-" for f in figures))
    Console(width=110).print(table)


def print_ladder(rows: "list[Row]") -> None:
    """Print a table with one row for each step of the ladder."""
    from rich.console import Console
    from rich.table import Table

    from stainproof.search.ladder import RUNGS

    tests = list(rows[0].accuracy)
    table = Table("step", "the report", *tests, "minutes", box=None)
    for rung, row in zip(RUNGS, rows, strict=True):
        reported = f"{100 * rung.reported:.0f} %" if rung.reported else "-"
        figures = (row.accuracy[name].percent() for name in tests)
        table.add_row(rung.what, reported, *figures, f"{row.minutes:.1f}")
    Console(width=140).print(table)


def print_search(found: "Search", out: Path) -> None:
    """Print the trials of the Pareto front and where their settings are."""
    from rich.console import Console
    from rich.table import Table

    by_number = {trial.number: trial for trial in found.trials}
    table = Table("trial", "augmented", "original", "parameters", "ms per image", box=None)
    for trial in (by_number[number] for number in found.front):
        figures = (f"{100 * (share or 0):.1f} %" for share in (trial.accuracy, trial.val_accuracy))
        costs = f"{trial.num_parameters:,}", f"{trial.latency_ms:.2f}"
        table.add_row(str(trial.number), *figures, *costs)
    typer.echo(f"trials on the Pareto front, of {len(found.trials)}:")
    Console(width=100).print(table)
    typer.echo(f"settings of the most accurate: {out / 'best.toml'}")
    typer.echo(f"page: {out / 'search.html'}")
