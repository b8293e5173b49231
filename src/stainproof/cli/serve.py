"""The commands serve and export."""

from pathlib import Path
from typing import Annotated

import typer

from stainproof.cli.app import app
from stainproof.cli.options import ErrorsOf, LabFile
from stainproof.cli.terminal import echo
from stainproof.errors import ConfigError

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A run folder or a shipped model.",
        show_default="the largest shipped model",
    ),
]
UncertainError = Annotated[
    str | None,
    typer.Option(
        "--error",
        help="Largest share of wrong predictions among cells that the page does not call "
        "uncertain, such as 2%.",
        show_default="cells below 70 % are uncertain",
    ),
]
NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


@app.command(
    epilog="Examples:\n\nstainproof serve runs/first\n\n"
    "stainproof serve runs/first --folder slide_12/ --session slide_12.session"
)
def serve(
    model: Model = "",
    folder: Annotated[
        Path | None, typer.Option(help="Folder of images that the page offers to open.")
    ] = None,
    session: Annotated[
        Path | None,
        typer.Option(help="File that keeps cells and decisions; made if it does not exist."),
    ] = None,
    fields: Annotated[
        bool,
        typer.Option(
            "--fields", help="The page's images are photographs of a smear: find their cells first."
        ),
    ] = False,
    port: Annotated[int, typer.Option(help="Port; 0: any free one.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Address to listen at; others than this machine's need a key.")
    ] = "127.0.0.1",
    api_key: Annotated[
        str,
        typer.Option(
            envvar="STAINPROOF_API_KEY", help="Key that clients must send.", show_default=False
        ),
    ] = "",
    lab: LabFile = None,
    errors: ErrorsOf = None,
    error: UncertainError = None,
) -> None:
    """Serve predictions, counts and a page for reviewing cells, on this machine."""
    from importlib.util import find_spec

    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ConfigError(
            f"serve needs {', '.join(missing)}; install them with: pip install 'stainproof[serve]'"
        )
    from stainproof.runs.shipped import default_model
    from stainproof.serve.server import serve as run_server
    from stainproof.serve.settings import Settings

    settings = Settings(
        host=host,
        port=port,
        api_key=api_key,
        folder=folder,
        session=session,
        has_fields=fields,
    )
    run_server(model or default_model(), settings, lab=lab, errors=errors, error=error, say=echo)


@app.command(
    epilog="Examples:\n\nnpm install onnxruntime-web\n\n"
    "stainproof export runs/first --web page/ --runtime node_modules/onnxruntime-web"
)
def export(
    web: Annotated[Path, typer.Option(metavar="DIR", help="Folder to make.")],
    runtime: Annotated[
        Path, typer.Option(metavar="FOLDER", help="The npm package onnxruntime-web, unpacked.")
    ],
    model: Model = "",
    errors: ErrorsOf = None,
    error: UncertainError = None,
) -> None:
    """Write the review page with a model as static files; the network runs in the browser."""
    from stainproof.runs.shipped import default_model
    from stainproof.serve.web_export import export_web

    page = export_web(model or default_model(), web, runtime, errors=errors, error=error)
    echo(f"page: {page}; deliver its folder with any static web server, for instance")
    echo(f"python -m http.server --bind 127.0.0.1 --directory {web}")
