"""The commands serve and export."""

from functools import partial
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
    epilog="Examples:\n\nstainproof export runs/first --onnx first.onnx --lab lab.json\n\n"
    "npm install onnxruntime-web\n\n"
    "stainproof export runs/first --web page/ --runtime node_modules/onnxruntime-web"
)
def export(
    model: Model = "",
    onnx: Annotated[
        Path | None,
        typer.Option("--onnx", metavar="FILE", help="ONNX file to write: images to probabilities."),
    ] = None,
    size_px: Annotated[
        int | None,
        typer.Option("--size", help="Side of its images in pixels.", show_default="the network's"),
    ] = None,
    web: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to make with the review page.")
    ] = None,
    runtime: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="The npm package onnxruntime-web, unpacked, for --web."
        ),
    ] = None,
    errors: ErrorsOf = None,
    error: UncertainError = None,
    lab: LabFile = None,
) -> None:
    """Write a run as one ONNX file, or the review page as static files for any web server."""
    from stainproof.runs.shipped import default_model

    if (onnx is None) == (web is None):
        raise ConfigError("export needs either --onnx or --web")
    chosen = model or default_model()
    if onnx:
        if runtime or errors or error:
            raise ConfigError("--runtime, --errors and --error go with --web, not with --onnx")
        from stainproof.inference.standalone import export_onnx

        export_onnx(chosen, onnx, lab=lab, size_px=size_px, say=partial(echo, err=True))
        echo(f"{onnx}: images to calibrated probabilities; its metadata say how to prepare them")
        return
    if size_px is not None:
        raise ConfigError("--size goes with --onnx, not with --web")
    if web is None or runtime is None:
        raise ConfigError(
            "--web needs --runtime, the folder of the npm package onnxruntime-web: "
            "npm install onnxruntime-web"
        )
    from stainproof.serve.web_export import export_web

    page = export_web(
        chosen, web, runtime, errors=errors, error=error, lab=lab, say=partial(echo, err=True)
    )
    echo(f"page: {page}; deliver its folder with any static web server, for instance")
    echo(f"python -m http.server --bind 127.0.0.1 --directory {web}")
