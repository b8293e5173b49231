"""Training commands: train, average."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stainproof.cli import console
from stainproof.cli.app import app
from stainproof.cli.bars import progress
from stainproof.cli.options import Assignments, Data
from stainproof.config.names import AveragingChoice, NetworkName, PresetName, ScheduleName

if TYPE_CHECKING:
    from stainproof.config.schema import Config


@app.command(
    epilog="Examples:\n\n"
    "stainproof train cells/ --out runs/first --budget 20m\n\n"
    "stainproof train training_set.npz --out runs/paper --preset an2dl --seed 1\n\n"
    "stainproof train cells/ --out runs/lite --set network.backbone=tf_efficientnet_lite0 "
    "--set network.pretrained=package --set training.optimizer=adamw "
    "--set training.learning_rate=1e-3\n\n"
    "stainproof train cells/ --out runs/first --resume"
)
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
    settings: Assignments = None,
    audited: Annotated[
        bool, typer.Option("--audit", help="Audit the images first and leave out what it drops.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue a run that was stopped.")
    ] = False,
) -> None:
    """Train a classifier on labelled cell images; makes a run folder with a report."""
    from stainproof import api
    from stainproof.machine import keep_freed_memory

    chosen = _choose_settings(
        out, preset, network, schedule, budget, seed, config, tuple(settings or ()), resume
    )
    keep_freed_memory()
    with progress("after the first epoch, --resume continues") as bars:
        card = api.train(
            data,
            out,
            chosen,
            resume=resume,
            audited=audited,
            track=bars.track,
            on_step=bars.step,
        )
    console.print_card(card, out)


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
    """Average weights into a new run and recompute its batch-normalization statistics."""
    from stainproof import api

    with progress() as bars:
        card = api.average(
            runs, data, out, choice=choice, max_val_loss=max_val_loss, track=bars.track
        )
    console.print_card(card, out)


def _choose_settings(
    out: Path,
    preset: str | None,
    network: str | None,
    schedule: str | None,
    budget: str | None,
    seed: int | None,
    config: Path | None,
    assignments: tuple[str, ...],
    resume: bool,
) -> "Config":
    """Build the settings from a preset, a file or, when resuming, from the run's own.

    Raises:
        ConfigError: An option contradicts another one or a value is out of range.
        CheckpointError: There is no run to resume.
    """
    from stainproof.config.parsing import parse_duration
    from stainproof.config.presets import limits_of, make_config, read_config, with_assignments
    from stainproof.errors import CheckpointError, ConfigError
    from stainproof.runs.folder import RunFolder

    budget_s = parse_duration(budget) if budget is not None else None
    if not resume and config is None:
        return make_config(
            preset or "light",
            network=network,
            schedule=schedule,
            seed=seed or 0,
            budget_s=budget_s,
            assignments=assignments,
        )
    fixed: dict[str, object] = {"--preset": preset, "--network": network, "--schedule": schedule}
    if resume:
        fixed |= {"--seed": seed, "--config": config}
    for option, value in fixed.items():
        if value is not None:
            whose = "a resumed run keeps its own" if resume else "the --config file says it"
            raise ConfigError(f"{option}: not allowed here; {whose}")
    if budget_s is not None:
        limits = limits_of(budget_s)
        assignments = (*(f"training.{key}={value}" for key, value in limits.items()), *assignments)
    if seed is not None:
        assignments = (f"seed={seed}", *assignments)
    run = RunFolder(out)
    if config is None and not run.config.exists():
        raise CheckpointError(f"{out}: no {run.config.name} in it; there is nothing to resume")
    kept = read_config(config) if config else run.read_config()
    return with_assignments(kept, assignments)
