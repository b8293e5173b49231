"""Inference and evaluation commands: evaluate, predict, report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stainproof.cli import console
from stainproof.cli.app import app
from stainproof.cli.bars import progress
from stainproof.cli.options import (
    Bits,
    Cutoff,
    Data,
    Engine,
    Filter,
    Ray,
    Run,
    Seed,
    Tta,
    inference_config,
    with_source_options,
)
from stainproof.cli.terminal import complain, echo

if TYPE_CHECKING:
    from stainproof.config.schema import SourceConfig


@app.command(epilog="Example:\n\nstainproof evaluate runs/first other_lab/ --out runs/first-other")
@with_source_options
def evaluate(
    run: Run,
    data: Data,
    out: Annotated[
        Path | None, typer.Option(help="Folder for eval.json; by default inside the run folder.")
    ] = None,
    seed: Seed = 0,
    engine: Engine = "auto",
    tta: Tta = "none",
    filter_name: Filter = "none",
    cutoff: Cutoff = 0.5,
    *,
    options: "SourceConfig",
) -> None:
    """Evaluate a run on labelled images: metrics with 95 % confidence intervals."""
    from stainproof import api

    inference = inference_config(tta, filter_name, cutoff)
    with progress() as bars:
        result = api.evaluate(
            run,
            data,
            out,
            seed=seed,
            engine=engine,
            inference=inference,
            options=options,
            track=bars.track,
        )
    console.print_evaluation(result)


@app.command(
    epilog="Examples:\n\nstainproof predict runs/first new_cells/ --out predictions.csv\n\n"
    "stainproof predict runs/first 'slides/**/*.png' --out predictions.parquet\n\n"
    "stainproof predict runs/first s3://hospital/cells --out s3://hospital/parts --ray auto"
)
def predict(
    run: Run,
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGES...", help="Image files, folders, globs or .npz.")
    ],
    out: Annotated[
        str,
        typer.Option(help="Table to write: .csv, .parquet or .jsonl; with --ray a folder."),
    ],
    engine: Engine = "auto",
    tta: Tta = "none",
    filter_name: Filter = "none",
    cutoff: Cutoff = 0.5,
    bits: Bits = 0,
    ray: Ray = "",
) -> None:
    """Predict the class of every image, with the probability of each class."""
    from functools import partial

    from stainproof import api

    inference = inference_config(tta, filter_name, cutoff)
    stage = partial(api.predict_on_cluster, address=ray) if ray else api.predict
    with progress("the same command continues" if ray else "") as bars:
        num_rows, num_errors = stage(
            run,
            images,
            out,
            engine=engine,
            inference=inference,
            bits=bits,
            track=bars.track,
            say=bars.announce,
        )
    echo(f"{num_rows} rows in {out}")
    if num_errors:
        complain(f"{num_errors} of {num_rows} images could not be read; the column error says why")
        raise typer.Exit(1)


@app.command(epilog="Example:\n\nstainproof report runs/first --eval runs/first-other")
def report(
    run: Run,
    evaluations: Annotated[
        list[Path] | None,
        typer.Option("--eval", help="A further folder with an eval.json; may be repeated."),
    ] = None,
) -> None:
    """Write the report of a run again: one HTML file that opens without a network."""
    from stainproof import api

    echo(api.report(run, evaluations or ()))
