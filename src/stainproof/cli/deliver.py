"""Delivery commands: calibrate, quantise, ensemble."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stainproof.cli.app import app
from stainproof.cli.bars import progress
from stainproof.cli.options import Data, Engine, LabFile, Run, Seed, with_source_options
from stainproof.cli.terminal import complain, echo
from stainproof.config.names import Voting

if TYPE_CHECKING:
    from stainproof.config.schema import SourceConfig


@app.command(
    epilog="Examples:\n\nstainproof calibrate runs/first other_lab/\n\n"
    "stainproof calibrate runs/first cells/ --validation"
)
@with_source_options
def calibrate(
    run: Run,
    data: Data,
    validation: Annotated[
        bool,
        typer.Option(
            "--validation", help="DATA is what the run was trained on: use its validation split."
        ),
    ] = False,
    engine: Engine = "auto",
    lab: LabFile = None,
    *,
    options: "SourceConfig",
) -> None:
    """Calibrate the probabilities of a run on 8 labelled images or more."""
    from stainproof import api

    with progress() as bars:
        found = api.calibrate(
            run,
            data,
            validation=validation,
            engine=engine,
            lab=lab,
            options=options,
            track=bars.track,
            say=bars.announce,
        )
    for name, value in found.describe().items():
        echo(f"{name}: {value}")


@app.command(
    epilog="Example:\n\nstainproof quantise runs/first cells/\n\n"
    "stainproof predict runs/first new_cells/ --out predictions.csv --engine int8"
)
@with_source_options
def quantise(
    run: Run,
    data: Annotated[str, typer.Argument(metavar="DATA", help="400 labelled images or more.")],
    seed: Seed = 0,
    *,
    options: "SourceConfig",
) -> None:
    """Quantise the network to 8 bits; keep it if it is faster and as accurate."""
    from stainproof import api

    with progress() as bars:
        found = api.quantise(run, data, seed=seed, options=options, track=bars.track)
    echo(
        f"accuracy on {found.num_images} images: {100 * found.accuracy:.2f} % in float32, "
        f"{100 * found.accuracy_int8:.2f} % in int8; {found.times_faster:.2f} times as fast"
    )
    if not found.kept:
        complain("not kept: it must be 1.2 times as fast and lose less than 0.2 points")
        raise typer.Exit(1)
    echo(f"kept: stainproof predict {run} ... --engine int8")


@app.command(
    epilog="Example:\n\nstainproof ensemble runs/a runs/b runs/c --out runs/abc\n\n"
    "stainproof evaluate runs/abc other_lab/\n\n"
    "stainproof ensemble runs/a runs/b --lab lab.json --out runs/new-lab"
)
def ensemble(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS...", help="Two run folders or more.")],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    voting: Annotated[
        Voting,
        typer.Option(help="soft: the mean of the probabilities; hard: one vote a network."),
    ] = "soft",
    lab: LabFile = None,
) -> None:
    """Combine several runs in one folder; every command takes it like a run folder."""
    from stainproof import api

    made = api.ensemble(runs, out, voting=voting, lab=lab)
    echo(f"{len(made.members)} networks in {out}{' with its profile' if lab else ''}")
