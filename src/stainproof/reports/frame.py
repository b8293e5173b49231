"""The frame that every HTML page shares: templates, number formats, embedded pictures."""

import base64
import io
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

MAX_PICTURE_PX = 160
"""Height and width up to which a picture is embedded; a larger one is reduced."""
PICTURE_QUALITY = 84
TEMPLATES = Path(__file__).parent / "templates"


def render_page(template: str, **values: Any) -> str:
    """Return a page as one self-contained HTML text; values are escaped.

    Args:
        template: File name in `templates/`. It extends `base.html.jinja`, which needs `source`, the
            title of the page, and `provenance`.
        values: What the template uses; a missing one is an error.
    """
    return _environment().get_template(template).render(values)


def colours() -> str:
    """Return the style sheet of the colours, light and dark, which all pages share."""
    return (TEMPLATES / "colours.css").read_text(encoding="utf-8")


def percent(share: float) -> str:
    """Return a share, 0 to 1, as a percentage, for instance `97.5 %`."""
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def points(share: float) -> str:
    """Return a share, or a difference of shares, in percentage points without the sign `%`."""
    return f"{100 * share:.1f}".replace("-", "\N{MINUS SIGN}")


def picture_uri(picture: Image.Image) -> str:
    """Return a picture as a data URI, WebP, at most `MAX_PICTURE_PX` wide and high."""
    reduced = picture.convert("RGB")
    reduced.thumbnail((MAX_PICTURE_PX, MAX_PICTURE_PX))
    stream = io.BytesIO()
    reduced.save(stream, format="WebP", quality=PICTURE_QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "points": points, "number": "{:,}".format}
    return environment
