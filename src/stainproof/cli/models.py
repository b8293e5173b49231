"""Commands about models: models, card, explain."""

from pathlib import Path
from typing import Annotated

import typer

from stainproof.cli.app import app
from stainproof.cli.bars import progress
from stainproof.cli.options import Images, LabFile, Run
from stainproof.cli.terminal import complain, echo, print_table


@app.command(
    epilog="Example:\n\nstainproof models\n\n"
    "stainproof predict stainproof-light new_cells/ --out predictions.csv"
)
def models() -> None:
    """List the trained models in the package; their names can be given instead of a run."""
    from stainproof import api

    found = api.shipped_models()
    if not found:
        complain("no trained models are part of this installation")
        return
    for model in found:
        size = f"{model.card.num_parameters:,} parameters, {model.num_bytes / 1e6:.1f} MB"
        echo(f"{model.name}: {size}; classes {', '.join(model.card.classes)}")
        rows = [
            (one.source, one.num_images, one.accuracy.percent(), one.balanced_accuracy.percent())
            for one in model.evaluations
        ]
        if rows:
            print_table(("evaluated on", "images", "accuracy", "balanced accuracy"), rows)


@app.command(
    epilog="Examples:\n\nstainproof card runs/first\n\n"
    "stainproof card stainproof-light --out cards/light"
)
def card(
    run: Run,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to; by default the run folder.")
    ] = None,
    about: Annotated[
        Path | None,
        typer.Option(metavar="TOML", help="Use, data and licence, which the run does not contain."),
    ] = None,
) -> None:
    """Write a model card from the evaluations of a run, and Croissant metadata of its data."""
    from stainproof import api

    echo(api.write_model_card(run, out, about))


@app.command(
    epilog="Examples:\n\nstainproof explain runs/first new_cells/ --out explained.html\n\n"
    "stainproof explain stainproof-light cell.png --out cell.html --target monocyte"
)
def explain(
    run: Run,
    images: Images,
    out: Annotated[Path, typer.Option(help="HTML page to write.")],
    target: Annotated[
        str | None, typer.Option(help="Class to explain; by default the predicted one.")
    ] = None,
    lab: LabFile = None,
) -> None:
    """Show which pixels of each image support its predicted class; at most 500 images."""
    from stainproof import api

    with progress() as bars:
        num_errors = api.explain(
            run, images, out, target=target, lab=lab, track=bars.track, say=bars.announce
        )
    echo(out)
    if num_errors:
        complain(f"{num_errors} images could not be read; the page lists them")
        raise typer.Exit(1)
