"""Commands on photographs of a smear: crop."""

from pathlib import Path
from typing import Annotated

import typer

from stainproof.cli.app import app
from stainproof.cli.bars import progress
from stainproof.cli.options import FieldBoxes, RedCellPx
from stainproof.cli.terminal import complain, echo


@app.command(
    epilog="Examples:\n\nstainproof crop smears/ --out cells/\n\n"
    "stainproof crop smears/ --boxes annotations.json --out cells/"
)
def crop(
    fields: Annotated[
        list[str],
        typer.Argument(metavar="FIELDS...", help="Image files, folders (at any depth) or globs."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the images and cells.csv.")],
    boxes: FieldBoxes = None,
    size_px: Annotated[int, typer.Option(help="Height and width of the images.")] = 96,
    red_cell_px: RedCellPx = None,
) -> None:
    """Cut photographs of a smear into single-cell images at the scale of training."""
    from stainproof import api

    with progress() as bars:
        summary = api.crop(
            fields,
            out,
            boxes=boxes,
            size_px=size_px,
            red_cell_px=red_cell_px,
            track=bars.track,
            say=bars.announce,
        )
    echo(f"{summary.num_cells} cells in {out}")
    if summary.errors:
        complain(f"{len(summary.errors)} fields could not be used")
        raise typer.Exit(1)
