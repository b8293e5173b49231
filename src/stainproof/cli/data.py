"""Data commands: look, audit, clean, phantom."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stainproof.cli import console
from stainproof.cli.app import app
from stainproof.cli.bars import progress
from stainproof.cli.options import Assignments, Data, Ray, Seed, with_source_options
from stainproof.cli.terminal import echo
from stainproof.config.names import LabName

if TYPE_CHECKING:
    from stainproof.config.schema import SourceConfig


@app.command(
    epilog="Examples:\n\nstainproof look cells/\n\n"
    "stainproof look export/ --layout '{group}/**/{label}/*'\n\n"
    "stainproof look cells.csv --group-column patient --map haematology"
)
@with_source_options
def look(data: Data, *, options: "SourceConfig") -> None:
    """Show what a source contains and what is skipped: classes, groups, split, files."""
    from stainproof import api

    with progress() as bars:
        found = api.look(data, options=options, track=bars.track)
    for line in found.lines():
        echo(line)


@app.command(
    epilog="Examples:\n\nstainproof audit cells/ --out audits/cells\n\n"
    "stainproof audit cells/ --out audits/cells --review --against other_lab/"
)
@with_source_options
def audit(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for audit.csv, audit.json and audit.html.")],
    review: Annotated[
        bool, typer.Option("--review", help="Let a person decide on every finding on the page.")
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(help="A second source: test whether the two look alike, count copies."),
    ] = None,
    settings: Assignments = None,
    seed: Seed = 0,
    ray: Ray = "",
    *,
    options: "SourceConfig",
) -> None:
    """Find duplicates, doctored images, outliers and label issues; nothing is removed."""
    from stainproof import api
    from stainproof.config.presets import make_config

    assignments = (f"audit.seed={seed}", *(f"audit.{one}" for one in settings or ()))
    chosen = make_config(assignments=assignments).audit
    with progress() as bars:
        summary = api.audit(
            data,
            out,
            chosen,
            review=review,
            against=against,
            options=options,
            ray=ray,
            track=bars.track,
        )
    console.print_audit(summary, out)


@app.command(
    epilog="Examples:\n\nstainproof clean cells/ --audit audits/cells --out cells-clean/\n\n"
    "stainproof clean cells/ --audit reviewed.csv --out clean.csv"
)
@with_source_options
def clean(
    data: Annotated[str, typer.Argument(metavar="DATA", help="The source that was audited.")],
    audit: Annotated[Path, typer.Option(help="The audit's folder, or a reviewed audit.csv.")],
    out: Annotated[Path, typer.Option(help="A folder of copies, a .csv manifest or an .npz.")],
    *,
    options: "SourceConfig",
) -> None:
    """Write a source without what an audit drops; the source itself is not changed."""
    from stainproof import api

    with progress() as bars:
        num_kept, num_dropped = api.clean(data, audit, out, options=options, track=bars.track)
    echo(f"{num_kept} images kept in {out}, {num_dropped} dropped")


@app.command(epilog="Example:\n\nstainproof phantom --out phantoms --n 2000 --seed 7")
def phantom(
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    num_images: Annotated[
        int, typer.Option("--n", help="Number of cells, over the eight classes.")
    ] = 800,
    seed: Seed = 0,
    lab: Annotated[LabName, typer.Option(help="Stain and optics.")] = "home",
    size_px: Annotated[int, typer.Option("--size", help="Height and width in pixels.")] = 96,
) -> None:
    """Make synthetic blood cells of the eight classes, to try things without real images."""
    from stainproof import api

    with progress() as bars:
        folder = api.make_phantoms(
            out, num_images, seed=seed, lab=lab, size_px=size_px, track=bars.track
        )
    echo(f"{num_images} phantom cells in {folder}")
