"""How a page's template is read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template


def read_template(name: str, **filters: Callable[..., Any]) -> Template:
    """Return a template of this folder; what it is not given is an error.

    Args:
        name: File name.
        filters: What the template calls them -> what they do.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(name)
