"""The Typer application that all commands register with."""

from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from stainproof.cli.terminal import echo

COMPLETION = ("install_completion", "show_completion")
PANELS = {
    "Data": ("look", "audit", "clean", "crop", "phantom", "corrupt"),
    "Training": ("train", "average", "ensemble", "calibrate", "quantise", "search", "ladder"),
    "Evaluation": ("evaluate", "report", "explain", "card", "verify", "reproduce"),
    "A new laboratory": ("profile", "check", "pick", "adapt"),
    "Use": ("predict", "count", "serve", "export", "models"),
    "Contests": ("submit", "competition", "score"),
}
"""Panels of the help, in the order of a user's path -> their commands."""


class Commands(TyperGroup):
    """All commands; the help leaves out the options of shell completion."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options of the program itself."""
        options = super().get_params(ctx)
        for option in options:
            if option.name in COMPLETION:
                option.hidden = True  # type: ignore[attr-defined]
        return list(options)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands in the order of the help."""
        return [name for names in PANELS.values() for name in names]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, which knows the panel of the help that it is listed in."""
        command = super().get_command(ctx, cmd_name)
        for panel, names in PANELS.items():
            if cmd_name in names:
                command.rich_help_panel = panel  # type: ignore[union-attr]
        return command


app = typer.Typer(
    name="stainproof",
    help="Train, evaluate and deliver blood-cell classifiers that hold up on other laboratories' "
    "slides.",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        echo(f"stainproof {version('stainproof')}")
        raise typer.Exit


@app.callback()
def stainproof(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Options of the program itself."""
