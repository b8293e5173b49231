"""The files of the review page, which the server and the static page share."""

from pathlib import Path

from stainproof.reports import frame

FOLDER = Path(__file__).parent / "page"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def page_contents() -> dict[str, bytes]:
    """Return name -> content of each file of the page."""
    contents = {
        path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix in MEDIA_TYPES
    }
    return contents | {"colours.css": frame.colours().encode()}
