"""Commands for another laboratory: check, pick, adapt."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stainproof.cli import console
from stainproof.cli.app import app
from stainproof.cli.bars import progress
from stainproof.cli.options import (
    Images,
    LabFile,
    Run,
    Seed,
    check_no_source_options,
    with_source_options,
)
from stainproof.cli.terminal import complain, echo

if TYPE_CHECKING:
    from stainproof.config.schema import SourceConfig

Reference = Annotated[
    str | None,
    typer.Option(help="Labelled home cells, for a run without a reference; training images in it "
                 "are left out."),
]  # fmt: skip


@app.command(
    epilog="Examples:\n\nstainproof check runs/first new_lab/ --out checks/new_lab\n\n"
    "stainproof check runs/old new_lab/ --out checks/new_lab --reference cells/"
)
@with_source_options
def check(
    run: Run,
    images: Images,
    out: Annotated[Path, typer.Option(help="Folder for check.json and check.html.")],
    lab: LabFile = None,
    reference: Reference = None,
    seed: Seed = 0,
    *,
    options: "SourceConfig",
) -> None:
    """Say what to expect of a run on unlabelled images: accuracy, drift, class mix, verdict."""
    from stainproof import api

    with progress() as bars:
        result = api.check(
            run,
            images,
            out,
            lab=lab,
            reference=reference,
            seed=seed,
            options=options,
            track=bars.track,
            say=bars.announce,
        )
    console.print_check(result, out)


@app.command(epilog="Example:\n\nstainproof pick runs/first new_lab/ --num 32 --out to_label.csv")
def pick(
    run: Run,
    images: Images,
    out: Annotated[Path, typer.Option(help="Manifest to write: .csv with an empty column label.")],
    num: Annotated[int, typer.Option("--num", help="Number of cells.")] = 32,
    lab: LabFile = None,
    seed: Seed = 0,
) -> None:
    """Choose which unlabelled cells to label: uncertain ones, different ones, of every class."""
    from stainproof import api

    with progress() as bars:
        picked = api.pick(
            run, images, out, num=num, lab=lab, seed=seed, track=bars.track, say=bars.announce
        )
    echo(f"{len(picked)} cells in {out}; fill in its column label for stainproof adapt")


@app.command(
    epilog="Examples:\n\nstainproof adapt runs/first labelled.csv --out runs/new-lab\n\n"
    "stainproof adapt runs/first new_lab/ --unlabelled --out runs/new-lab"
)
@with_source_options
def adapt(
    run: Run,
    data: Annotated[
        str,
        typer.Argument(
            metavar="LABELLED",
            help="8 labelled cells or more; with --unlabelled 32 images or more without labels.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Run folder to make.")],
    unlabelled: Annotated[
        bool,
        typer.Option(
            "--unlabelled",
            help="Refit on the run's own confident predictions: a file, folder, glob or .npz "
            "without labels.",
        ),
    ] = False,
    lab: LabFile = None,
    reference: Reference = None,
    seed: Seed = 0,
    *,
    options: "SourceConfig",
) -> None:
    """Adapt a run to another laboratory with a few labelled cells; exit code 1 if nothing helps."""
    from stainproof import api

    if unlabelled:
        check_no_source_options(options, "--unlabelled")
        with progress() as bars:
            found = api.adapt_unlabelled(
                run,
                [data],
                out,
                lab=lab,
                reference=reference,
                seed=seed,
                track=bars.track,
                say=bars.announce,
            )
        for name, value in (found.describe() | {"run folder": str(out)}).items():
            echo(f"{name}: {value}")
        return
    with progress() as bars:
        made = api.adapt(
            run,
            data,
            out,
            lab=lab,
            reference=reference,
            seed=seed,
            options=options,
            track=bars.track,
            say=bars.announce,
        )
    console.print_adaptation(made, out)
    if not made.is_changed:
        complain(f"not adapted: nothing was better; {out} has the network of {run}")
        raise typer.Exit(1)
