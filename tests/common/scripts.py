"""Import of scripts that are no modules of the package."""

import importlib.util
from pathlib import Path
from typing import Any


def load_script(path: Path) -> Any:
    """Return a Python file as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
