"""Contest commands: submit, competition, score."""

from pathlib import Path
from typing import Annotated

import typer

from stainproof.cli import console
from stainproof.cli.app import app
from stainproof.cli.bars import progress
from stainproof.cli.options import (
    THIS_PYTHON,
    Assignments,
    Cutoff,
    Filter,
    LabFile,
    Python,
    Run,
    Tta,
    Unfenced,
    inference_config,
)
from stainproof.cli.terminal import complain, echo
from stainproof.config.names import Runtime


@app.command(
    epilog="Examples:\n\n"
    "stainproof submit runs/first --out submission.zip --python .venv-keras/bin/python\n\n"
    "stainproof submit runs/abc --out submission.zip --tta d4 --runtime onnx\n\n"
    "stainproof submit runs/abc --out submission.zip --lab lab.json"
)
def submit(
    run: Run,
    out: Annotated[Path, typer.Option(help="The zip to write.")],
    runtime: Annotated[
        Runtime, typer.Option(help="What computes the network; the contest's grader has keras.")
    ] = "keras",
    tta: Tta = "none",
    filter_name: Filter = "none",
    cutoff: Cutoff = 0.5,
    images: Annotated[
        str | None,
        typer.Option(help="Files, a folder or an .npz to test it on; else synthetic cells."),
    ] = None,
    lab: LabFile = None,
    python: Python = THIS_PYTHON,
    unfenced: Unfenced = False,
) -> None:
    """Write a run as a contest submission, tested to predict what the run predicts."""
    from stainproof.contest.submission import submit

    _warn(unfenced)
    with progress() as bars:
        made = submit(
            run,
            out,
            runtime=runtime,
            inference=inference_config(tta, filter_name, cutoff),
            images=images,
            lab=lab,
            python=python,
            unfenced=unfenced,
            track=bars.track,
            say=bars.announce,
        )
    echo(
        f"{out}: {made.num_bytes / 1e6:.1f} MB; the same labels as the run on "
        f"{made.num_images} images; {console.usage(made)}"
    )


@app.command(
    epilog="Example:\n\n"
    "stainproof competition --development ds2/ --final ds3/ --out bundle.zip "
    "--set start=2026-12-01 --set days=28"
)
def competition(
    development: Annotated[str, typer.Option(help="Labelled images of the development phase.")],
    final: Annotated[str, typer.Option(help="Labelled images of the final phase.")],
    out: Annotated[Path, typer.Option(help="The bundle: a .zip, or else a folder.")],
    settings: Assignments = None,
) -> None:
    """Make a contest for Codabench from your own two test sets."""
    from stainproof.contest.competition import competition
    from stainproof.contest.settings import make_contest

    contest = make_contest(tuple(settings or ()))
    with progress() as bars:
        competition(development, final, out, contest, track=bars.track)
    echo(f"{out}: upload it to Codabench, or try it with stainproof score")


@app.command(
    epilog="Examples:\n\nstainproof score submission.zip --on ds2/\n\n"
    "stainproof score submission.zip --on bundle.zip --phase final"
)
def score(
    submission: Annotated[
        Path, typer.Argument(metavar="SUBMISSION", help="A zip with model.py at its top level.")
    ],
    on: Annotated[str, typer.Option(help="A contest bundle, or labelled images.")],
    out: Annotated[Path | None, typer.Option(help="A JSON file for the result.")] = None,
    phase: Annotated[
        str | None, typer.Option(help="Of a bundle: development (if not given) or final.")
    ] = None,
    time_limit: Annotated[
        str | None, typer.Option(help="Such as 10m; if not given, the contest's own.")
    ] = None,
    python: Python = THIS_PYTHON,
    unfenced: Unfenced = False,
) -> None:
    """Score a submission as Codabench does, on this machine."""
    from stainproof.config.parsing import parse_duration
    from stainproof.contest.scoring import score

    _warn(unfenced)
    limit_s = parse_duration(time_limit, "time limit") if time_limit else None
    with progress() as bars:
        result = score(
            submission,
            on,
            out,
            phase=phase,
            time_limit_s=limit_s,
            python=python,
            unfenced=unfenced,
            track=bars.track,
        )
    echo(f"{result.source}: {result.num_images} images; {console.usage(result)}")
    echo(f"  {'accuracy':27s}{result.accuracy.percent()}")
    console.print_classes(result.per_class)


def _warn(unfenced: bool) -> None:
    if unfenced:
        complain("--unfenced: the submission can read your files and use the network")
