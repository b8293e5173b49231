"""A server around a tiny model, in the process of the tests or in one of its own."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from stainproof import api
from stainproof.evaluation.misclassification import read_errors
from stainproof.inference.classifier import Classifier
from stainproof.serve.app import create_app
from stainproof.serve.services import Services
from stainproof.serve.settings import Limits, Settings
from stainproof.serve.uncertainty import Uncertainty
from tests.common.cells import make_cells, write_cells
from tests.common.tiny import tiny_config

START_S = 100


def train_tiny(cells: Path, out: Path) -> Path:
    """Train a run that tells the colours of `tests.common.cells` apart."""
    api.train(cells, out, tiny_config("training.epochs=40", "training.batch_size=8"))
    return out


def train_with_reference(folder: Path) -> Path:
    """Train a run with enough validation images for a reference."""
    cells = write_cells(folder / "home", num_a_class=100)
    settings = ("split.val_fraction=0.4", "training.epochs=16")
    api.train(cells, folder / "run", tiny_config(*settings))
    return folder / "run"


def png(rgb: NDArray[np.uint8]) -> bytes:
    """Return pixels as a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, format="PNG")
    return stream.getvalue()


def uploads(num_a_class: int = 2, seed: int = 1) -> list[tuple[str, tuple[str, bytes]]]:
    """Return cells of three classes as the files of a form."""
    images, _ = make_cells(num_a_class, 32, seed)
    return [("images", (f"cell_{index}.png", png(rgb))) for index, rgb in enumerate(images)]


def make_services(
    run: Path,
    limits: Limits | None = None,
    uncertainty: Uncertainty | None = None,
    **settings: Any,
) -> Services:
    """Return the parts of a server."""
    classifier = Classifier.load(run, "onnxruntime", threads=1)
    errors = read_errors(
        run, None, classifier.classes, classifier.weights_sha256, classifier.temperature
    )
    chosen = Settings(limits=limits or Limits(), **settings)
    return Services(run.name, classifier, errors, chosen, uncertainty)


@contextmanager
def serving(run: Path, limits: Limits | None = None, **settings: Any) -> Iterator[TestClient]:
    """Yield a client of a server in this process."""
    app = create_app(make_services(run, limits, **settings))
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        yield client


class Process:
    """A server in a process of its own."""

    def __init__(self, *words: Any):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stainproof", "serve", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdout
        first = self.process.stdout.readline()
        found = re.search(r"http://\S+", first)
        assert found, first + self.process.stdout.read()
        self.url = found[0]

    def wait(self) -> "Process":
        """Wait until the server answers."""
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            try:
                if httpx.get(f"{self.url}/healthz").status_code == 200:
                    return self
            except httpx.TransportError:
                time.sleep(0.1)
        raise TimeoutError(self.url)

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return int(self.url.rpartition(":")[2])

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=30)
