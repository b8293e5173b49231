"""The command line: one thin subcommand a stage. Results to stdout, progress to stderr."""

import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stainproof.errors import StainproofError
from stainproof.progress import Item

if TYPE_CHECKING:
    from stainproof.config import Config
    from stainproof.results import (
        AuditSummary,
        Card,
        ClassMetrics,
        Delivered,
        Evaluation,
        Row,
        Score,
        Search,
        Trial,
    )
    from stainproof.training.loop import Step

app = typer.Typer(
    name="stainproof",
    help="Train, measure and deliver blood-cell classifiers that hold up on other people's slides.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

MAX_JOBS = 4
"""Trainings that a search runs at once where nothing is said."""

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder that train made.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Engine = Annotated[
    str,
    typer.Option(help="onnxruntime, openvino, torch, or int8 after quantise; auto: the run's own."),
]
Views = Annotated[
    str,
    typer.Option(help="Average the answers for an image's flips (4) or turns (8); one: as it is."),
]
Filter = Annotated[
    str,
    typer.Option("--filter", help="Against noise: ideal, gaussian, butterworth (low-pass), notch."),
]
Python = Annotated[
    Path,
    typer.Option(help="The Python that runs the submission.", show_default="this one"),
]
Cutoff = Annotated[
    float,
    typer.Option(help="Where a low-pass filter falls off, as a share of Nyquist's frequency."),
]


@app.command(
    epilog="Examples:\n\n"
    "stainproof train cells/ --out runs/first --budget 20m\n\n"
    "stainproof train training_set.npz --out runs/big --preset report --seed 1\n\n"
    "stainproof train cells/ --out runs/lite --set network.backbone=tf_efficientnet_lite0 "
    "--set network.pretrained=package\n\n"
    "stainproof train cells/ --out runs/first --resume"
)
def train(
    data: Annotated[
        str,
        typer.Argument(metavar="DATA", help="Class folders, .npz, .csv, .parquet, bloodmnist:64."),
    ],
    out: Annotated[Path, typer.Option(help="The run folder to make.")],
    preset: Annotated[
        str | None,
        typer.Option(
            help="A network and a schedule: quick (default), light, report, reference, "
            "simple, inception, residual."
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(help="reference, light, light-inception, simple, inception or residual."),
    ] = None,
    schedule: Annotated[str | None, typer.Option(help="quick or report.")] = None,
    budget: Annotated[
        str | None, typer.Option(help="Time to train for, such as 90s, 20m, 1h30m.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of everything random; 0 if not given.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file of settings instead of a preset.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting, as in training.epochs=3."),
    ] = None,
    audited: Annotated[
        bool, typer.Option("--audit", help="Audit the images first and leave out what it drops.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped.")
    ] = False,
) -> None:
    """Learn a classifier from labelled cell images; leaves a run folder with a report."""
    from stainproof import pipeline

    chosen = _choose_settings(
        out, preset, network, schedule, budget, seed, config, tuple(settings or ()), resume
    )
    with _progress() as bars:
        card = pipeline.train(
            data,
            out,
            chosen,
            resume=resume,
            audited=audited,
            track=bars.track,
            on_step=bars.step,
        )
    _say_card(card, out)


@app.command(
    epilog="Examples:\n\nstainproof audit cells/ --out audits/cells\n\n"
    "stainproof audit cells/ --out audits/cells --review --against other_lab/"
)
def audit(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Labelled images of any kind.")],
    out: Annotated[Path, typer.Option(help="Folder for audit.csv, audit.json and audit.html.")],
    review: Annotated[
        bool, typer.Option("--review", help="Let a person refuse findings on the page.")
    ] = False,
    against: Annotated[
        str | None, typer.Option(help="A second source: do the two look alike?")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One threshold, as in outlier_reach=4."),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Find copies, doctored images, outliers and doubtful labels; nothing is deleted."""
    from stainproof import config, pipeline

    assignments = (f"audit.seed={seed}", *(f"audit.{one}" for one in settings or ()))
    chosen = config.make_config(assignments=assignments).audit
    with _progress() as bars:
        summary = pipeline.audit(
            data, out, chosen, review=review, against=against, track=bars.track
        )
    _say_audit(summary, out)


@app.command(
    epilog="Examples:\n\nstainproof clean cells/ --audit audits/cells --out cells-clean/\n\n"
    "stainproof clean cells/ --audit reviewed.csv --out clean.csv"
)
def clean(
    data: Annotated[str, typer.Argument(metavar="DATA", help="The source that was audited.")],
    audit: Annotated[Path, typer.Option(help="The audit's folder, or a reviewed audit.csv.")],
    out: Annotated[Path, typer.Option(help="A folder of copies, a .csv manifest or an .npz.")],
) -> None:
    """Write the source less what an audit set aside; the source is not touched."""
    from stainproof import pipeline

    with _progress() as bars:
        num_kept, num_aside = pipeline.clean(data, audit, out, track=bars.track)
    typer.echo(f"{num_kept} images kept in {out}, {num_aside} set aside")


@app.command(epilog="Example:\n\nstainproof evaluate runs/first other_lab/ --out runs/first-other")
def evaluate(
    run: RunFolder,
    data: Annotated[str, typer.Argument(metavar="DATA", help="Labelled images of any kind.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for eval.json; by default inside the run folder.")
    ] = None,
    seed: Seed = 0,
    engine: Engine = "auto",
    views: Views = "one",
    filter_name: Filter = "none",
    cutoff: Cutoff = 0.5,
) -> None:
    """Measure a run on labelled images: accuracy and more, with 95 % intervals."""
    from stainproof import config, pipeline

    answering = config.make_answering(views, filter_name, cutoff)
    with _progress() as bars:
        result = pipeline.evaluate(
            run, data, out, seed=seed, engine=engine, answering=answering, track=bars.track
        )
    _say_evaluation(result)


@app.command(
    epilog="Examples:\n\nstainproof predict runs/first new_cells/ --out predictions.csv\n\n"
    "stainproof predict runs/first 'slides/**/*.png' --out predictions.parquet"
)
def predict(
    run: RunFolder,
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGES...", help="Image files, folders, globs or .npz.")
    ],
    out: Annotated[Path, typer.Option(help="Table to write: .csv, .parquet or .jsonl.")],
    engine: Engine = "auto",
    views: Views = "one",
    filter_name: Filter = "none",
    cutoff: Cutoff = 0.5,
) -> None:
    """Give every image a class and the probability of each class."""
    from stainproof import config, pipeline

    answering = config.make_answering(views, filter_name, cutoff)
    with _progress() as bars:
        num_rows, num_errors = pipeline.predict(
            run, images, out, engine=engine, answering=answering, track=bars.track
        )
    typer.echo(f"{num_rows} rows in {out}")
    if num_errors:
        _complain(f"{num_errors} of {num_rows} images could not be read; the column error says why")
        raise typer.Exit(1)


@app.command(
    epilog="Examples:\n\n"
    "stainproof average runs/first --data cells/ --out runs/mean   # its epochs\n\n"
    "stainproof average runs/a runs/b runs/c --data cells/ --out runs/soup --choice greedy"
)
def average(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUNS...", help="One that kept its epochs, or several.")
    ],
    data: Annotated[str, typer.Option(metavar="DATA", help="The images that they learnt from.")],
    out: Annotated[Path, typer.Option(help="The run folder to make.")],
    choice: Annotated[
        str,
        typer.Option(
            help="threshold: all near the lowest validation loss; last: the last quarter; "
            "greedy: each that does not lower validation accuracy."
        ),
    ] = "threshold",
    under: Annotated[
        float | None,
        typer.Option(help="The validation loss of threshold, instead of 1.1 x lowest."),
    ] = None,
) -> None:
    """Average weights into a new run, batch normalisation measured anew."""
    from stainproof import pipeline

    with _progress() as bars:
        card = pipeline.average(runs, data, out, choice=choice, under=under, track=bars.track)
    _say_card(card, out)


@app.command(
    epilog="Example:\n\nstainproof quantise runs/first cells/\n\n"
    "stainproof predict runs/first new_cells/ --out predictions.csv --engine int8"
)
def quantise(
    run: RunFolder,
    data: Annotated[str, typer.Argument(metavar="DATA", help="400 labelled images or more.")],
    seed: Seed = 0,
) -> None:
    """Make the network in 8 bits; keep it if it is faster and as accurate."""
    from stainproof import pipeline

    with _progress() as bars:
        found = pipeline.quantise(run, data, seed=seed, track=bars.track)
    typer.echo(
        f"accuracy on {found.num_images} images: {100 * found.accuracy:.2f} % in 32 bits, "
        f"{100 * found.accuracy_int8:.2f} % in 8; {found.times_faster:.2f} times as fast"
    )
    if not found.kept:
        _complain("not kept: it must be 1.2 times as fast and lose less than 0.2 points")
        raise typer.Exit(1)
    typer.echo(f"kept: stainproof predict {run} ... --engine int8")


@app.command(
    epilog="Example:\n\nstainproof ensemble runs/a runs/b runs/c --out runs/abc\n\n"
    "stainproof evaluate runs/abc other_lab/"
)
def ensemble(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS...", help="Two run folders or more.")],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    voting: Annotated[
        str, typer.Option(help="soft: the mean of the probabilities; hard: a vote each.")
    ] = "soft",
) -> None:
    """Put several runs in one folder that answers as one; then use it like a run."""
    from stainproof import pipeline

    made = pipeline.ensemble(runs, out, voting=voting)
    typer.echo(f"{len(made.members)} networks in {out}")


@app.command(
    epilog="Examples:\n\n"
    "stainproof submit runs/first --out submission.zip --python .venv-keras/bin/python\n\n"
    "stainproof submit runs/abc --out submission.zip --views turns --runtime onnx"
)
def submit(
    run: RunFolder,
    out: Annotated[Path, typer.Option(help="The zip to write.")],
    runtime: Annotated[
        str, typer.Option(help="keras, as the contest's grader has it, or onnx.")
    ] = "keras",
    views: Views = "one",
    filter_name: Filter = "none",
    cutoff: Cutoff = 0.5,
    images: Annotated[
        str | None,
        typer.Option(help="Files, a folder or an .npz to prove it on; else synthetic cells."),
    ] = None,
    python: Python = Path(sys.executable),
) -> None:
    """Write a run as a contest submission, proven to answer as the run does."""
    from stainproof import config, pipeline

    answering = config.make_answering(views, filter_name, cutoff)
    with _progress() as bars:
        made = pipeline.submit(
            run, out, runtime=runtime, answering=answering, images=images, python=python,
            track=bars.track,
        )  # fmt: skip
    typer.echo(
        f"{out}: {made.num_bytes / 1e6:.1f} MB; the same labels as the run on "
        f"{made.num_images} images; {_say_usage(made)}"
    )


@app.command(
    epilog="Example:\n\n"
    "stainproof competition --development ds2/ --final ds3/ --out bundle.zip "
    "--set start=2026-12-01 --set days=28"
)
def competition(
    development: Annotated[str, typer.Option(help="Labelled images, scored on day by day.")],
    final: Annotated[str, typer.Option(help="Labelled images, scored on once.")],
    out: Annotated[Path, typer.Option(help="The bundle: a .zip, or else a folder.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="title, start, days, final_days ..."),
    ] = None,
) -> None:
    """Make a contest for Codabench from your own two test sets."""
    from stainproof import config, pipeline

    contest = config.make_contest(tuple(settings or ()))
    with _progress() as bars:
        pipeline.competition(development, final, out, contest, track=bars.track)
    typer.echo(f"{out}: upload it to Codabench, or try it with stainproof score")


@app.command(
    epilog="Examples:\n\nstainproof score submission.zip --on ds2/\n\n"
    "stainproof score submission.zip --on bundle.zip --phase final"
)
def score(
    submission: Annotated[
        Path, typer.Argument(metavar="SUBMISSION", help="A zip with model.py at its top.")
    ],
    on: Annotated[str, typer.Option(help="A contest's bundle, or labelled images.")],
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
    phase: Annotated[
        str | None, typer.Option(help="Of a bundle: development (if not given) or final.")
    ] = None,
    time_limit: Annotated[
        str | None, typer.Option(help="Such as 10m; if not given, the contest's own.")
    ] = None,
    python: Python = Path(sys.executable),
) -> None:
    """Score a submission as Codabench would, on this machine."""
    from stainproof import config, pipeline

    limit_s = config.parse_duration(time_limit, "time limit") if time_limit else None
    with _progress() as bars:
        result = pipeline.score(
            submission, on, out, phase=phase, time_limit_s=limit_s, python=python,
            track=bars.track,
        )  # fmt: skip
    if not result.locked:
        _complain("no Landlock on this system: a submission that means harm could have read files")
    typer.echo(f"{result.source}: {result.num_images} images; {_say_usage(result)}")
    typer.echo(f"  {'accuracy':27s}{result.accuracy.percent()}")
    _say_classes(result.per_class)


@app.command(epilog="Example:\n\nstainproof report runs/first --eval runs/first-other")
def report(
    run: RunFolder,
    evaluations: Annotated[
        list[Path] | None,
        typer.Option("--eval", help="A further folder with an eval.json; can be given again."),
    ] = None,
) -> None:
    """Write the report of a run anew: one HTML file that opens without a network."""
    from stainproof import pipeline

    typer.echo(str(pipeline.report(run, evaluations or ())))


@app.command(
    epilog="Examples:\n\n"
    "stainproof ladder cells/ --test shifted/ --budget 2h --out ladders/first\n\n"
    "stainproof ladder clean.csv --test ds2/ --test clean/ --budget 8h --out ladders/long"
)
def ladder(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Images to learn from.")],
    out: Annotated[Path, typer.Option(help="Folder for the runs, the rows and ladder.html.")],
    test: Annotated[
        list[str], typer.Option(help="Shifted images to measure on; can be given again.")
    ],
    budget: Annotated[str, typer.Option(help="Time for all steps, in equal parts.")] = "2h",
    seed: Seed = 0,
) -> None:
    """Repeat the report's steps from a simple CNN on, then ours; the same command goes on."""
    from stainproof import config
    from stainproof.ladder import PAGE_FILE, ladder

    with _progress() as bars:
        rows = ladder(
            data,
            test,
            out,
            config.parse_duration(budget),
            seed=seed,
            track=bars.track,
            on_step=bars.step,
            on_rung=lambda rung: typer.echo(f"step {rung.what}", err=True),
        )
    _say_ladder(rows)
    typer.echo(f"page: {out / PAGE_FILE}")


@app.command(
    epilog="Examples:\n\n"
    "stainproof search cells/ --out searches/first --trials 30 --budget 3m\n\n"
    "stainproof search clean.csv --out searches/own --space space.toml --jobs 1\n\n"
    "stainproof train cells/ --out runs/best --config searches/first/best.toml --budget 30m"
)
def search(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Images to learn from.")],
    out: Annotated[Path, typer.Option(help="Folder for the runs, best.toml and search.html.")],
    trials: Annotated[int, typer.Option(help="Trainings in all.")] = 30,
    budget: Annotated[str, typer.Option(help="Time of each training.")] = "3m",
    space: Annotated[
        Path | None, typer.Option(help="A TOML file of what to search, instead of our own.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting that all trials share."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(help="Trainings at once, one thread each; as many as cores, at most 4."),
    ] = None,
    storage: Annotated[
        str,
        typer.Option(help="A database, as in postgresql://user@host/name; else a file in --out."),
    ] = "",
    seed: Seed = 0,
) -> None:
    """Search networks and settings for accuracy, size and speed; the same command goes on."""
    from stainproof import config
    from stainproof.machine import num_cores
    from stainproof.search.run import search

    budget_s = config.parse_duration(budget)
    with _progress() as bars, _saying("interrupted; the same command goes on"):
        shown = _SearchBar(bars, trials)
        found = search(
            data,
            out,
            trials,
            budget_s,
            storage=storage,
            space=space,
            fixed=tuple(settings or ()),
            seed=seed,
            jobs=min(num_cores(), MAX_JOBS) if jobs is None else jobs,
            track=bars.track,
            on_step=shown.step,
            on_trial=shown.trial,
        )
    _say_search(found, out)


@app.command(epilog="Example:\n\nstainproof phantom --out phantoms --n 2000 --seed 7")
def phantom(
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    num_images: Annotated[
        int, typer.Option("--n", help="How many cells, over eight classes.")
    ] = 800,
    seed: Seed = 0,
    lab: Annotated[str, typer.Option(help="Stain and optics: home or other.")] = "home",
    size_px: Annotated[int, typer.Option("--size", help="Height and width in pixels.")] = 96,
) -> None:
    """Make synthetic blood cells of the eight classes, to try things without real images."""
    from stainproof import pipeline

    with _progress() as bars:
        folder = pipeline.make_phantoms(
            out, num_images, seed=seed, lab=lab, size_px=size_px, track=bars.track
        )
    typer.echo(f"{num_images} phantom cells in {folder}")


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except StainproofError as error:
        _complain(" ".join(str(error).split()))
        sys.exit(2)
    except OSError as error:
        _complain(f"{error.filename or 'the system'}: {error.strerror or error}")
        sys.exit(2)
    except KeyboardInterrupt:
        _complain("interrupted; a run that had finished an epoch goes on with --resume")
        sys.exit(130)


def _choose_settings(
    out: Path,
    preset: str | None,
    network: str | None,
    schedule: str | None,
    budget: str | None,
    seed: int | None,
    config: Path | None,
    assignments: tuple[str, ...],
    resume: bool,
) -> "Config":
    """Build the settings from a preset, a file or, when resuming, the run's own."""
    from stainproof import config as settings
    from stainproof.errors import CheckpointError, ConfigError

    budget_s = settings.parse_duration(budget) if budget is not None else None
    if not resume and config is None:
        return settings.make_config(
            preset or "quick",
            network=network,
            schedule=schedule,
            seed=seed or 0,
            budget_s=budget_s,
            assignments=assignments,
        )
    fixed: dict[str, object] = {"--preset": preset, "--network": network, "--schedule": schedule}
    if resume:
        fixed |= {"--seed": seed, "--config": config}
    for option, value in fixed.items():
        if value is not None:
            whose = "a resumed run keeps its own" if resume else "the --config file says it"
            raise ConfigError(f"{option}: not allowed here; {whose}")
    if budget_s is not None:
        assignments = (f"training.budget_s={budget_s}", *assignments)
    if seed is not None:
        assignments = (f"seed={seed}", *assignments)
    if config is None and not (out / "config.toml").exists():
        raise CheckpointError(f"{out}: no config.toml in it; there is nothing to resume")
    return settings.with_assignments(
        settings.read_config(config or out / "config.toml"), assignments
    )


@contextmanager
def _saying(message: str) -> Iterator[None]:
    """Say what an interrupt leaves."""
    try:
        yield
    except KeyboardInterrupt:
        _complain(message)
        raise


def _complain(message: str) -> None:
    typer.echo(f"stainproof: {message}", err=True)


def _say_card(card: "Card", out: Path) -> None:
    best = card.best
    shifted = best.val_shifted_accuracy
    typer.echo(f"{card.stopped} after {card.num_epochs} epochs; kept epoch {best.epoch}")
    typer.echo(
        f"validation accuracy {100 * best.val_accuracy:.1f} %"
        + (f", on changed images {100 * shifted:.1f} %" if shifted is not None else "")
    )
    typer.echo(f"report: {out / 'report.html'}")


def _say_audit(summary: "AuditSummary", out: Path) -> None:
    typer.echo(f"{summary.num_images} images in {summary.seconds:.0f} s")
    for kind, num_files in sorted(summary.findings.items()):
        groups = summary.groups.get(kind)
        typer.echo(f"  {kind:17s}{num_files:6d} files" + (f" in {groups} groups" if groups else ""))
    if summary.apart:
        apart = summary.apart
        typer.echo(
            f"  told apart from {summary.apart_from}: {apart.value:.3f} "
            f"({apart.low:.3f} to {apart.high:.3f}; 0.5 alike, 1 different)"
        )
    typer.echo(f"cleaning would set aside {summary.num_dropped}; look at {out / 'audit.html'}")


def _say_usage(result: "Delivered | Score") -> str:
    memory = f", {result.peak_mb:.0f} MB at most" if result.peak_mb else ""
    return f"{result.seconds:.1f} s{memory}"


def _say_evaluation(result: "Evaluation") -> None:
    absent = f"; no images of {', '.join(result.absent_classes)}" if result.absent_classes else ""
    typer.echo(f"{result.source}: {result.num_images} images{absent}")
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "expected_calibration_error"):
        typer.echo(f"  {name.replace('_', ' '):27s}{getattr(result, name).percent()}")
    _say_classes(result.per_class)


def _say_classes(per_class: "Sequence[ClassMetrics]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("class", "images", "sensitivity", "specificity", "precision", box=None)
    for row in per_class:
        figures = (row.sensitivity, row.specificity, row.precision)
        table.add_row(row.name, str(row.num_images), *(f.percent() if f else "-" for f in figures))
    Console(width=110).print(table)


def _say_ladder(rows: "list[Row]") -> None:
    from rich.console import Console
    from rich.table import Table

    from stainproof.ladder import RUNGS

    tests = list(rows[0].accuracy)
    table = Table("step", "the report", *tests, "minutes", box=None)
    for rung, row in zip(RUNGS, rows, strict=True):
        reported = f"{100 * rung.reported:.0f} %" if rung.reported else "-"
        figures = (row.accuracy[name].percent() for name in tests)
        table.add_row(rung.what, reported, *figures, f"{row.minutes:.1f}")
    Console(width=140).print(table)


def _say_search(found: "Search", out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    by_number = {trial.number: trial for trial in found.trials}
    table = Table("trial", "changed images", "as they are", "parameters", "ms an image", box=None)
    for trial in (by_number[number] for number in found.front):
        figures = (f"{100 * (share or 0):.1f} %" for share in (trial.accuracy, trial.val_accuracy))
        costs = f"{trial.num_parameters:,}", f"{trial.latency_ms:.2f}"
        table.add_row(str(trial.number), *figures, *costs)
    typer.echo(f"trials that no other one beats, of {len(found.trials)}:")
    Console(width=100).print(table)
    typer.echo(f"settings of the most accurate: {out / 'best.toml'}")
    typer.echo(f"page: {out / 'search.html'}")


class _Bars:
    """Progress bars on a terminal; a line now and then where there is none."""

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
        """Pass the items on and move a bar."""
        task = self.progress.add_task(what, total=total, figures="")
        for item in items:
            yield item
            self.progress.advance(task)
        self.progress.remove_task(task)

    def step(self, step: "Step") -> None:
        """Show how training stands, on one line."""
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


class _SearchBar:
    """One bar over the trials of a search; a line for each where there is no terminal."""

    def __init__(self, bars: _Bars, num_trials: int) -> None:
        self.progress = bars.progress
        self.task = self.progress.add_task("searching", total=num_trials, figures="")
        self.num_ended = 0

    def step(self, step: "Step") -> None:
        """Show how far the present trial is."""
        self.progress.update(self.task, completed=self.num_ended + step.done)

    def trial(self, found: "Search", trial: "Trial | None") -> None:
        """Show which trial has ended, and the best so far."""
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


@contextmanager
def _progress() -> Iterator[_Bars]:
    bars = _Bars()
    with bars.progress:
        yield bars
