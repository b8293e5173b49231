"""Run a benchmark module in a process of its own, in one of the environments."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAIN, KERAS, TOOLS = ".venv", ".venv-keras", ".venv-bench"
"""Environments: stainproof's own; Keras 3.4.1 on TensorFlow 2.17, as the contest's grader has it;
the tools that are compared with, and timm."""
QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "KERAS_BACKEND": "tensorflow",
    "YOLO_OFFLINE": "true",
    "NO_ALBUMENTATIONS_UPDATE": "1",
}


def run_module(module: str, *arguments: str, environment: str = MAIN, **variables: str) -> str:
    """Run `python -m benchmarks.MODULE ARGUMENTS` and return what it printed.

    Args:
        module: Name below `benchmarks`, for instance `training.step`.
        arguments: Its command-line arguments.
        environment: Folder of the virtual environment, in the repository.
        variables: Further environment variables.

    Raises:
        SystemExit: The process failed; its last lines are shown.
    """
    done = subprocess.run(
        [str(ROOT / environment / "bin" / "python"), "-m", f"benchmarks.{module}", *arguments],
        env={**os.environ, **QUIET, **variables, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{module} in {environment}: {done.stderr[-2500:]}")
    return done.stdout
