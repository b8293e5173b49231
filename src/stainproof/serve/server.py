"""Run the server: check, bind, serve until a signal, stop gracefully."""

import logging
import socket
from pathlib import Path

import uvicorn

from stainproof.errors import ConfigError
from stainproof.evaluation.misclassification import read_errors
from stainproof.inference.classifier import Classifier
from stainproof.progress import Say, silent_say
from stainproof.runs.shipped import find_run
from stainproof.serve.app import create_app
from stainproof.serve.services import Services
from stainproof.serve.settings import Settings
from stainproof.serve.uncertainty import uncertainty_of
from stainproof.shift.lab import Lab

GRACE_S = 10
"""Seconds that running requests get when the server stops."""
KEEP_ALIVE_S = 75
"""Seconds after which an idle connection is closed; a client may be using it just then."""
BACKLOG = 2048


def serve(
    model: str | Path,
    settings: Settings | None = None,
    *,
    engine: str = "onnxruntime",
    lab: Lab | str | Path | None = None,
    errors: str | Path | None = None,
    error: str | float | None = None,
    say: Say = silent_say,
) -> None:
    """Serve a model and the review page until SIGINT or SIGTERM.

    Args:
        model: A run folder, a folder of an ensemble, or the name of a shipped model.
        settings: Where to listen, what to read and keep, limits.
        engine: Inference engine, see `Classifier.load`.
        lab: A laboratory profile or its file, by which images are standardised first.
        errors: An evaluation of the model on labelled cells of this laboratory, from which the
            intervals of counts take its errors; by default the model's own.
        error: Largest error among the cells that the page does not call uncertain, as in `predict`;
            None: cells below 70 % are uncertain.
        say: Called with the address once connections are accepted.

    Raises:
        ConfigError: A setting is invalid, the address is in use, the session is open elsewhere, or
            `error` cannot be guaranteed.
        DataError: The folder or the session file cannot be used.
        CheckpointError: The model, the profile or the evaluation cannot be used.
    """
    settings = settings or Settings()
    settings.check()
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # the answer tells the client
    folder = find_run(model)
    classifier = Classifier.load(folder, engine, lab=lab, say=say)
    known = read_errors(
        folder, errors, classifier.classes, classifier.weights_sha256, classifier.temperature
    )
    uncertainty = uncertainty_of(folder, classifier, error)
    with _bind(settings.host, settings.port) as listener:
        services = Services(folder.resolve().name, classifier, known, settings, uncertainty)
        config = uvicorn.Config(
            create_app(services),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        say(f"serving {services.model_name} at {_address(settings.host, listener)}")
        say(
            f"session file: {settings.session}"
            if settings.session
            else "nothing is kept after the server stops; --session FILE keeps the review"
        )
        uvicorn.Server(config).run(sockets=[listener])


def _bind(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        ConfigError: The address cannot be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"{host}:{port}: cannot listen there ({error.strerror}); choose another --port or "
            "--host"
        ) from error
    return listener


def _address(host: str, listener: socket.socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"
