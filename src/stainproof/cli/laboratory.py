"""The command profile: measure a laboratory's images without labels."""

from pathlib import Path
from typing import Annotated

import typer

from stainproof.cli.app import app
from stainproof.cli.bars import progress
from stainproof.cli.options import Bits, Engine, Seed
from stainproof.cli.terminal import echo


@app.command(
    epilog="Example:\n\nstainproof profile new_cells/ --model runs/first --out lab.json\n\n"
    "stainproof predict runs/first new_cells/ --lab lab.json --out predictions.csv"
)
def profile(
    images: Annotated[
        str,
        typer.Argument(
            metavar="IMAGES",
            help="A folder of images at any depth, a glob, .npz, .csv or .parquet.",
        ),
    ],
    model: Annotated[Path, typer.Option(help="The run folder of the classifier.")],
    out: Annotated[Path, typer.Option(help="The profile to write; a page is put beside it.")],
    engine: Engine = "auto",
    seed: Seed = 0,
    bits: Bits = 0,
) -> None:
    """Measure scale, colour, focus and noise of a laboratory's images, without labels."""
    from stainproof import api

    with progress() as bars:
        lab = api.profile(
            images,
            model,
            out,
            engine=engine,
            seed=seed,
            bits=bits,
            track=bars.track,
            say=bars.announce,
        )
    echo(f"{lab.num_images} images measured: {lab.describe()}")
    for reason in lab.reasons:
        echo(f"  {reason}")
    echo(f"profile: {out}; page: {out.with_suffix('.html')}")
