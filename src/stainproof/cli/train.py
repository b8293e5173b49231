"""Training commands: train, average."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stainproof.cli import console
from stainproof.cli.app import app
from stainproof.cli.bars import progress
from stainproof.cli.options import Assignments, Data, Ray, with_source_options
from stainproof.cli.terminal import complain
from stainproof.config.names import AveragingChoice, NetworkName, PresetName, ScheduleName

if TYPE_CHECKING:
    from stainproof.config.schema import SourceConfig

GOES_ON = "the same command continues"


@app.command(
    epilog="Examples:\n\n"
    "stainproof train cells/ --out runs/first --budget 20m\n\n"
    "stainproof train training_set.npz --out runs/paper --preset an2dl --seed 1\n\n"
    "stainproof train cells/ --out runs/lite --set network.backbone=tf_efficientnet_lite0 "
    "--set network.pretrained=package --set training.optimizer=adamw "
    "--set training.learning_rate=1e-3\n\n"
    "stainproof train few_cells/ --out runs/own --from stainproof-light --budget 3m\n\n"
    "stainproof train cells/ --out runs/first --resume\n\n"
    "stainproof train cells/ --out runs/first --ray local --workers 2"
)
@with_source_options
def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="The run folder to make.")],
    preset: Annotated[
        PresetName | None,
        typer.Option(
            help="A network and a schedule; light if not given. an2dl: as in the AN2DL paper."
        ),
    ] = None,
    network: Annotated[
        NetworkName | None, typer.Option(help="Another network than the preset's.")
    ] = None,
    schedule: Annotated[
        ScheduleName | None, typer.Option(help="Another schedule than the preset's.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Training time, such as 90s, 20m, 1h30m.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of all random numbers; 0 if not given.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file of settings instead of a preset.")
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="Fine-tune a run or a model that stainproof models lists.",
        ),
    ] = None,
    frozen: Annotated[
        bool, typer.Option("--frozen", help="With --from: train the last layer only.")
    ] = False,
    settings: Assignments = None,
    audited: Annotated[
        bool, typer.Option("--audit", help="Audit the images first and leave out what it drops.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue a run, also with other settings.")
    ] = False,
    ray: Ray = "",
    workers: Annotated[
        int | None, typer.Option(help="Processes that share every batch, with --ray; default 2.")
    ] = None,
    *,
    options: "SourceConfig",
) -> None:
    """Train a classifier on labelled cell images; makes a run folder with a report."""
    from stainproof import api
    from stainproof.config.presets import choose_config
    from stainproof.errors import ConfigError
    from stainproof.machine import keep_freed_memory
    from stainproof.runs.fine_tuning import choose_start
    from stainproof.runs.folder import INTERRUPTED, RunFolder

    chosen = choose_config(
        config,
        preset=preset,
        network=network,
        schedule=schedule,
        budget=budget,
        seed=seed,
        assignments=settings or (),
        kept=RunFolder(out).read_resumed_config() if resume else None,
        start=choose_start(start_from, frozen),
    )
    source = chosen.source.model_copy(update=options.model_dump(exclude_defaults=True))
    chosen = chosen.model_copy(update={"source": source})
    if workers is not None and not ray:
        raise ConfigError("--workers: only with --ray")
    keep_freed_memory()
    with progress(GOES_ON) as bars:
        if ray:
            card = api.train_on_cluster(
                data,
                out,
                chosen,
                address=ray,
                num_workers=2 if workers is None else workers,
                resume=resume,
                audited=audited,
                say=bars.announce,
            )
        else:
            card = api.train(
                data,
                out,
                chosen,
                resume=resume,
                audited=audited,
                track=bars.track,
                say=bars.announce,
                on_step=bars.step,
            )
    console.print_card(card, out)
    if card.stopped == INTERRUPTED:
        complain(f"interrupted; {GOES_ON}")
        raise KeyboardInterrupt


@app.command(
    epilog="Examples:\n\n"
    "stainproof average runs/first --data cells/ --out runs/mean   # its epochs\n\n"
    "stainproof average runs/a runs/b runs/c --data cells/ --out runs/soup --choice greedy"
)
def average(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUNS...", help="One that kept its epochs, or several.")
    ],
    data: Annotated[
        str, typer.Option(metavar="DATA", help="The images that they were trained on.")
    ],
    out: Annotated[Path, typer.Option(help="The run folder to make.")],
    choice: Annotated[
        AveragingChoice,
        typer.Option(
            help="threshold: all near the lowest validation loss; last: the last quarter; "
            "greedy: each that does not lower validation accuracy."
        ),
    ] = "threshold",
    max_val_loss: Annotated[
        float | None,
        typer.Option(help="With threshold: the largest validation loss; default 1.1 x lowest."),
    ] = None,
) -> None:
    """Average weights into a new run and recompute its batch-normalisation statistics."""
    from stainproof import api

    with progress() as bars:
        card = api.average(
            runs, data, out, choice=choice, max_val_loss=max_val_loss, track=bars.track
        )
    console.print_card(card, out)
