"""The Typer application that all commands register with."""

import typer

app = typer.Typer(
    name="stainproof",
    help="Train, evaluate and deliver blood-cell classifiers that hold up on other laboratories' "
    "slides.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
