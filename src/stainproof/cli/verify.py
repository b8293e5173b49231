"""Commands that check a run: verify, reproduce."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stainproof.cli.app import app
from stainproof.cli.bars import progress
from stainproof.cli.options import Run
from stainproof.cli.terminal import echo

if TYPE_CHECKING:
    from stainproof.runs.check import Check


@app.command(epilog="Example:\n\nstainproof verify runs/first")
def verify(run: Run) -> None:
    """Check every file of a run or an ensemble, its engines and its card; exit code 1: failed."""
    from stainproof import api

    _print(api.verify(run))


@app.command(epilog="Example:\n\nstainproof reproduce runs/first --data cells/")
def reproduce(
    run: Run,
    data: Annotated[str, typer.Option(metavar="DATA", help="The images that it was trained on.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the new weights; by default they are removed.")
    ] = None,
) -> None:
    """Train a run again, and compare weights and history; exit code 1: they differ."""
    from stainproof import api
    from stainproof.machine import keep_freed_memory

    keep_freed_memory()
    with progress() as bars:
        checks = api.reproduce(run, data, out, track=bars.track, on_step=bars.step)
    _print(checks)


def _print(checks: "list[Check]") -> None:
    for check in checks:
        echo(check)
    if any(check.outcome == "failed" for check in checks):
        raise typer.Exit(1)
