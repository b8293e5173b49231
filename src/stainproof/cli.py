"""The command line: one thin subcommand a stage. Results to stdout, progress to stderr."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stainproof import console
from stainproof.errors import StainproofError, in_words

if TYPE_CHECKING:
    from stainproof.config import Config

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
    "--set network.pretrained=package --set training.optimizer=adamw "
    "--set training.learning_rate=1e-3\n\n"
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
            help="A network and a schedule: quick (default, the same as light), tiny, small "
            "or large for CPUs; report, reference, simple, inception or residual as in the report."
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            help="tiny, small, light, large, light-inception, reference, simple, inception or "
            "residual."
        ),
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
    with console.progress("with an epoch finished, --resume goes on") as bars:
        card = pipeline.train(
            data,
            out,
            chosen,
            resume=resume,
            audited=audited,
            track=bars.track,
            on_step=bars.step,
        )
    console.say_card(card, out)


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
    from stainproof import pipeline, presets

    assignments = (f"audit.seed={seed}", *(f"audit.{one}" for one in settings or ()))
    chosen = presets.make_config(assignments=assignments).audit
    with console.progress() as bars:
        summary = pipeline.audit(
            data, out, chosen, review=review, against=against, track=bars.track
        )
    console.say_audit(summary, out)


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

    with console.progress() as bars:
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
    from stainproof import pipeline, presets

    answering = presets.make_answering(views, filter_name, cutoff)
    with console.progress() as bars:
        result = pipeline.evaluate(
            run, data, out, seed=seed, engine=engine, answering=answering, track=bars.track
        )
    console.say_evaluation(result)


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
    from stainproof import pipeline, presets

    answering = presets.make_answering(views, filter_name, cutoff)
    with console.progress() as bars:
        num_rows, num_errors = pipeline.predict(
            run, images, out, engine=engine, answering=answering, track=bars.track
        )
    typer.echo(f"{num_rows} rows in {out}")
    if num_errors:
        console.complain(
            f"{num_errors} of {num_rows} images could not be read; the column error says why"
        )
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

    with console.progress() as bars:
        card = pipeline.average(runs, data, out, choice=choice, under=under, track=bars.track)
    console.say_card(card, out)


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

    with console.progress() as bars:
        found = pipeline.quantise(run, data, seed=seed, track=bars.track)
    typer.echo(
        f"accuracy on {found.num_images} images: {100 * found.accuracy:.2f} % in 32 bits, "
        f"{100 * found.accuracy_int8:.2f} % in 8; {found.times_faster:.2f} times as fast"
    )
    if not found.kept:
        console.complain("not kept: it must be 1.2 times as fast and lose less than 0.2 points")
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
    from stainproof import pipeline, presets

    answering = presets.make_answering(views, filter_name, cutoff)
    with console.progress() as bars:
        made = pipeline.submit(
            run, out, runtime=runtime, answering=answering, images=images, python=python,
            track=bars.track,
        )  # fmt: skip
    typer.echo(
        f"{out}: {made.num_bytes / 1e6:.1f} MB; the same labels as the run on "
        f"{made.num_images} images; {console.usage(made)}"
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
    from stainproof import pipeline, presets

    contest = presets.make_contest(tuple(settings or ()))
    with console.progress() as bars:
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
    from stainproof import pipeline
    from stainproof.settings import parse_duration

    limit_s = parse_duration(time_limit, "time limit") if time_limit else None
    with console.progress() as bars:
        result = pipeline.score(
            submission, on, out, phase=phase, time_limit_s=limit_s, python=python,
            track=bars.track,
        )  # fmt: skip
    if not result.locked:
        console.complain(
            "no Landlock on this system: a submission that means harm could have read files"
        )
    typer.echo(f"{result.source}: {result.num_images} images; {console.usage(result)}")
    typer.echo(f"  {'accuracy':27s}{result.accuracy.percent()}")
    console.say_classes(result.per_class)


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
    from stainproof.ladder import PAGE_FILE, ladder
    from stainproof.settings import parse_duration

    with console.progress("the same command goes on") as bars:
        rows = ladder(
            data,
            test,
            out,
            parse_duration(budget),
            seed=seed,
            track=bars.track,
            on_step=bars.step,
            on_rung=lambda rung: typer.echo(f"step {rung.what}", err=True),
        )
    console.say_ladder(rows)
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
    from stainproof.machine import num_cores
    from stainproof.search.run import search
    from stainproof.settings import parse_duration

    budget_s = parse_duration(budget)
    with console.progress("the same command goes on") as bars:
        shown = console.SearchBar(bars, trials)
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
    console.say_search(found, out)


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

    with console.progress() as bars:
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
        console.complain(" ".join(str(error).split()))
        sys.exit(2)
    except OSError as error:
        console.complain(in_words(error))
        sys.exit(2)
    except KeyboardInterrupt:
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
    from stainproof import presets
    from stainproof.errors import CheckpointError, ConfigError
    from stainproof.settings import parse_duration

    budget_s = parse_duration(budget) if budget is not None else None
    if not resume and config is None:
        return presets.make_config(
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
        limits = presets.limits_of(budget_s)
        assignments = (*(f"training.{key}={value}" for key, value in limits.items()), *assignments)
    if seed is not None:
        assignments = (f"seed={seed}", *assignments)
    if config is None and not (out / "config.toml").exists():
        raise CheckpointError(f"{out}: no config.toml in it; there is nothing to resume")
    return presets.with_assignments(presets.read_config(config or out / "config.toml"), assignments)
