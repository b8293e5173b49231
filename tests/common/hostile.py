"""Submissions that attack, and what is needed to run them."""

import os
import shutil
import zipfile
from pathlib import Path

import pytest

SIXES = "return np.full(len(X), 6)"
needs_bubblewrap = pytest.mark.skipif(
    shutil.which("bwrap") is None and "CI" not in os.environ, reason="bubblewrap is not installed"
)


def write_submission(folder: Path, body: str, name: str = "model.py") -> Path:
    """Write a zip whose predict runs `body` from line 5 on; `X` are the images."""
    lines = "\n".join(f"        {line}" for line in body.splitlines())
    code = f"import os, sys\nimport numpy as np\nclass Model:\n    def predict(self, X):\n{lines}\n"
    with zipfile.ZipFile(folder / "s.zip", "w") as archive:
        archive.writestr(name, code)
    return folder / "s.zip"
