"""Commands that train many times: search, ladder."""

from pathlib import Path
from typing import Annotated

import typer

from stainproof.cli import console
from stainproof.cli.app import app
from stainproof.cli.bars import SearchBar, progress
from stainproof.cli.options import Assignments, Data, Ray, Seed
from stainproof.cli.terminal import echo

MAX_JOBS = 4
"""Trainings that a search runs at the same time by default."""


@app.command(
    epilog="Examples:\n\n"
    "stainproof ladder cells/ --test shifted/ --budget 2h --out ladders/first\n\n"
    "stainproof ladder clean.csv --test ds2/ --test clean/ --budget 8h --out ladders/long"
)
def ladder(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for the runs, the rows and ladder.html.")],
    test: Annotated[
        list[str], typer.Option(help="Shifted images to evaluate on; may be repeated.")
    ],
    budget: Annotated[str, typer.Option(help="Time for all steps, in equal parts.")] = "2h",
    seed: Seed = 0,
    ray: Ray = "",
) -> None:
    """Repeat the AN2DL paper's steps from a simple CNN on, then ours; resumes by itself."""
    from stainproof.config.parsing import parse_duration
    from stainproof.machine import keep_freed_memory
    from stainproof.search.ladder import PAGE_FILE, ladder

    keep_freed_memory()
    with progress("the same command continues") as bars:
        rows = ladder(
            data,
            test,
            out,
            parse_duration(budget),
            seed=seed,
            track=bars.track,
            on_step=bars.step,
            on_plan=lambda plan: bars.announce(
                f"{plan.num_steps} steps, each {plan.training_s:g} s of training and about "
                f"{plan.overhead_s:g} s to read the images and to evaluate"
            ),
            on_rung=lambda rung: bars.announce(f"step {rung.what}"),
            ray=ray,
        )
    console.print_ladder(rows)
    echo(f"page: {out / PAGE_FILE}")


@app.command(
    epilog="Examples:\n\n"
    "stainproof search cells/ --out searches/first --trials 30 --budget 3m\n\n"
    "stainproof search clean.csv --out searches/own --space space.toml --jobs 1\n\n"
    "stainproof search cells/ --out /shared/first --storage postgresql://me@host/db --ray auto\n\n"
    "stainproof train cells/ --out runs/best --config searches/first/best.toml --budget 30m"
)
def search(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for the runs, best.toml and search.html.")],
    trials: Annotated[int, typer.Option(help="Number of trainings.")] = 30,
    budget: Annotated[str, typer.Option(help="Time of each training.")] = "3m",
    space: Annotated[
        Path | None, typer.Option(help="A TOML file with another search space.")
    ] = None,
    settings: Assignments = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Trainings at once, one thread each; as many as cores, at most 4; with --ray all."
        ),
    ] = None,
    storage: Annotated[
        str,
        typer.Option(help="A database, as in postgresql://user@host/name; else a file in --out."),
    ] = "",
    seed: Seed = 0,
    ray: Ray = "",
) -> None:
    """Search networks and settings for accuracy, size and speed; resumes by itself."""
    from stainproof.config.parsing import parse_duration
    from stainproof.machine import keep_freed_memory, num_cores
    from stainproof.search.run import search

    keep_freed_memory()
    with progress("the same command continues") as bars:
        shown = SearchBar(bars, trials)
        found = search(
            data,
            out,
            trials,
            parse_duration(budget),
            storage=storage,
            space=space,
            fixed=tuple(settings or ()),
            seed=seed,
            jobs=jobs if jobs is not None else 0 if ray else min(num_cores(), MAX_JOBS),
            ray=ray,
            track=bars.track,
            on_step=shown.step,
            on_trial=shown.trial,
        )
    console.print_search(found, out)
