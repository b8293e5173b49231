"""Inference and evaluation commands: evaluate, predict, count, report."""

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
    ErrorsOf,
    FieldBoxes,
    Fields,
    Filter,
    Images,
    LabFile,
    Ray,
    RedCellPx,
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
    lab: LabFile = None,
    corruptions: Annotated[
        bool,
        typer.Option("--corruptions", help="Evaluate also on 55 corrupted copies of every image."),
    ] = False,
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
            lab=lab,
            track=bars.track,
            say=bars.announce,
        )
    console.print_evaluation(result)
    if corruptions:
        with progress() as bars:
            corrupted = api.evaluate_corruptions(
                run,
                data,
                out,
                seed=seed,
                engine=engine,
                inference=inference,
                options=options,
                lab=lab,
                track=bars.track,
                say=bars.announce,
            )
        console.print_corruptions(corrupted)


@app.command(
    epilog="Examples:\n\nstainproof predict stainproof-light new_cells/ --out predictions.csv\n\n"
    "stainproof predict runs/first 'slides/**/*.png' --out predictions.parquet\n\n"
    "stainproof predict runs/first new_cells/ --out predictions.csv --error 2%\n\n"
    "stainproof predict runs/first smears/ --fields --out cells.csv\n\n"
    "stainproof predict runs/first s3://hospital/cells --out s3://hospital/parts --ray auto"
)
def predict(
    run: Run,
    images: Images,
    out: Annotated[
        str,
        typer.Option(help="Table to write: .csv, .parquet or .jsonl; with --ray a folder."),
    ],
    engine: Engine = "auto",
    tta: Tta = "none",
    filter_name: Filter = "none",
    cutoff: Cutoff = 0.5,
    bits: Bits = 0,
    lab: LabFile = None,
    error: Annotated[
        str | None,
        typer.Option(help="Largest share of wrong predictions, such as 2%; the rest is uncertain."),
    ] = None,
    fields: Fields = False,
    boxes: FieldBoxes = None,
    red_cell_px: RedCellPx = None,
    ray: Ray = "",
) -> None:
    """Predict the class of every image, with the probability of each class."""
    from functools import partial

    from stainproof import api
    from stainproof.cells.reading import check_field_options
    from stainproof.errors import ConfigError

    check_field_options(fields=fields, bits=bits, boxes=boxes, red_cell_px=red_cell_px, ray=ray)
    inference = inference_config(tta, filter_name, cutoff)
    if ray and error:
        raise ConfigError("--error: not with --ray; the probabilities are in the parts")
    if fields:
        with progress() as bars:
            num_rows, num_errors = api.predict_fields(
                run,
                images,
                out,
                boxes=boxes,
                red_cell_px=red_cell_px,
                engine=engine,
                inference=inference,
                lab=lab,
                error=error,
                track=bars.track,
                say=bars.announce,
            )
        _end(num_rows, num_errors, out)
        return
    stage = (
        partial(api.predict_on_cluster, address=ray) if ray else partial(api.predict, error=error)
    )
    with progress("the same command continues" if ray else "") as bars:
        num_rows, num_errors = stage(
            run,
            images,
            out,
            engine=engine,
            inference=inference,
            bits=bits,
            lab=lab,
            track=bars.track,
            say=bars.announce,
        )
    _end(num_rows, num_errors, out)


def _end(num_rows: int, num_errors: int, out: str | Path) -> None:
    echo(f"{num_rows} rows in {out}")
    if num_errors:
        complain(f"{num_errors} of {num_rows} images could not be read; the column error says why")
        raise typer.Exit(1)


@app.command(
    epilog="Examples:\n\nstainproof corrupt cells/ --out corrupted/\n\n"
    "stainproof corrupt cells/ --out blurred/ --corruption motion_blur --severity 5"
)
def corrupt(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="A folder of images.")],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    corruption: Annotated[
        list[str] | None,
        typer.Option(help="pixelate, motion_blur, ...; may be repeated; by default all eleven."),
    ] = None,
    severity: Annotated[
        list[int] | None, typer.Option(help="1 to 5; may be repeated; by default 3.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Write copies of images with the corruptions of MedMNIST-C, 224 x 224 px."""
    from stainproof import api
    from stainproof.corruptions.bloodmnist import CORRUPTIONS

    with progress() as bars:
        num = api.corrupt(
            images,
            out,
            corruptions=corruption or tuple(CORRUPTIONS),
            severities=severity or (3,),
            seed=seed,
            track=bars.track,
            say=bars.announce,
        )
    echo(f"{num:,} images in {out}")


@app.command(
    epilog="Examples:\n\nstainproof count runs/first new_cells/ --out counts/patient-1\n\n"
    "stainproof count runs/first new_cells/ --confirmed counts/patient-1/cells.csv "
    "--out counts/patient-1\n\n"
    "stainproof count runs/first smears/ --fields --out counts/patient-2\n\n"
    "stainproof count runs/first /shared/cells --out /shared/counts/all --ray auto"
)
def count(
    run: Run,
    images: Images,
    out: Annotated[Path, typer.Option(help="Folder for count.json, cells.csv and count.html.")],
    confirmed: Annotated[
        Path | None,
        typer.Option(help="Table of corrected cells: cells.csv with its column confirmed filled."),
    ] = None,
    errors: ErrorsOf = None,
    threshold: Annotated[
        float, typer.Option(help="Probability below which a cell is unclassified.")
    ] = 0.5,
    margin: Annotated[
        float, typer.Option(help="Percentage points on either side that settle a class.")
    ] = 5.0,
    seed: Seed = 0,
    engine: Engine = "auto",
    tta: Tta = "none",
    filter_name: Filter = "none",
    cutoff: Cutoff = 0.5,
    bits: Bits = 0,
    lab: LabFile = None,
    fields: Fields = False,
    boxes: FieldBoxes = None,
    red_cell_px: RedCellPx = None,
    ray: Ray = "",
) -> None:
    """Count the cells of a smear: percent of each class with a 95 % interval, and a report."""
    from stainproof import api

    inference = inference_config(tta, filter_name, cutoff)
    with progress("the same command continues" if ray else "") as bars:
        result = api.count(
            run,
            images,
            out,
            confirmed=confirmed,
            errors=errors,
            threshold=threshold,
            margin_points=margin,
            seed=seed,
            engine=engine,
            inference=inference,
            bits=bits,
            lab=lab,
            fields=fields,
            boxes=boxes,
            red_cell_px=red_cell_px,
            ray=ray,
            track=bars.track,
            say=bars.announce,
        )
    console.print_count(result, out)


@app.command(epilog="Example:\n\nstainproof report runs/first --eval runs/first-other")
def report(
    run: Run,
    evaluations: Annotated[
        list[Path] | None,
        typer.Option("--eval", help="A further folder with an eval.json; may be repeated."),
    ] = None,
    explained: Annotated[
        bool,
        typer.Option("--explain", help="Show which pixels the mistaken predictions are based on."),
    ] = False,
) -> None:
    """Write the report of a run again: one HTML file that opens without a network."""
    from stainproof import api

    echo(api.report(run, evaluations or (), explained=explained))
