"""Installs the built wheel in empty environments and uses it.

python tests/installation.py [--torch torch==2.13.0] [--pythons python3.11 python3.12]
                             [--extras keras openvino]

The first Python is timed as a newcomer is: an empty environment, pip, and a table of cells that
the shipped light model predicted. Each Python gets an environment with the base install; the first
one also gets one for each extra and one for all together. `transfer` needs a torchvision of the
same build as PyTorch; it is left out unless named.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = ("keras", "openvino", "postgresql", "ray", "serve", "dev")
IMPORTS = {
    "keras": "keras",
    "openvino": "openvino",
    "postgresql": "psycopg",
    "ray": "ray",
    "serve": "fastapi",
    "transfer": "timm",
}
COMMANDS = (
    "--version",
    "phantom --out {0}/cells --n 80 --seed 1",
    "train {0}/cells --out {0}/run --budget 5s",
    "evaluate {0}/run {0}/cells",
    "predict {0}/run {0}/cells --out {0}/predictions.csv",
    "report {0}/run",
    "models",
    "card {0}/run",
    "explain {0}/run {0}/cells --out {0}/explained.html",
    "audit {0}/cells --out {0}/audit --review",
    "competition --development {0}/cells --final {0}/cells --out {0}/bundle.zip",
)


def run(*command: str | Path, cwd: str | Path | None = None) -> str:
    """Run a command and return its output; end with the output if it fails."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "KERAS_BACKEND": "torch"}
    environment.pop("PYTHONPATH", None)
    if found := environment.get("PIP_FIND_LINKS"):
        environment.setdefault("UV_FIND_LINKS", found.replace(" ", ","))
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


def seconds_to_table(python: str, torch: str, wheel: Path) -> tuple[float, float]:
    """Return the seconds of the installation with pip, and of the first predicted table."""
    with tempfile.TemporaryDirectory(prefix="wheel-", dir=ROOT / "build") as folder:
        home, cells, table = (Path(folder) / name for name in ("venv", "cells", "table.csv"))
        began = time.monotonic()
        run(python, "-m", "venv", home)
        run(home / "bin" / "pip", "install", "--quiet", torch, wheel)
        installed = time.monotonic()
        run(home / "bin" / "stainproof", "phantom", "--out", cells, "--n", "80", cwd=folder)
        made = time.monotonic()
        command = ("predict", "stainproof-light", cells, "--out", table)
        run(home / "bin" / "stainproof", *command, cwd=folder)
        assert len(table.read_text().splitlines()) == 81
        return installed - began, time.monotonic() - made


def try_install(python: str, torch: str, wheel: Path, extras: tuple[str, ...]) -> None:
    """Install the wheel with extras in an empty environment and run commands in it."""
    uv = Path(sys.executable).with_name("uv")
    with tempfile.TemporaryDirectory(prefix="wheel-", dir=ROOT / "build") as folder:
        home = Path(folder) / "venv"
        run(uv, "venv", "--quiet", "--python", python, home)
        chosen = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
        run(uv, "pip", "install", "--quiet", "--python", home, torch, chosen)
        for name in extras:
            if name in IMPORTS:
                run(home / "bin" / "python", "-c", f"import {IMPORTS[name]}", cwd=folder)
        for command in COMMANDS:
            run(home / "bin" / "stainproof", *command.format(folder).split(), cwd=folder)
        run(
            home / "bin" / "python",
            "-c",
            "from stainproof import api, train, Classifier",
            cwd=folder,
        )


def main() -> None:
    """Build the wheel and try it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", default="torch")
    parser.add_argument("--pythons", nargs="+", default=[sys.executable])
    parser.add_argument("--extras", nargs="*", default=EXTRAS)
    options = parser.parse_args()
    build = ROOT / "build"
    shutil.rmtree(build / "wheel", ignore_errors=True)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", build / "wheel", ROOT)
    (wheel,) = (build / "wheel").glob("*.whl")
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    if unknown := set(options.extras) - set(known):
        raise SystemExit(f"--extras: choose from {', '.join(known)}, got {', '.join(unknown)}")
    first, *others = options.pythons
    install_s, predict_s = seconds_to_table(first, options.torch, wheel)
    print(f"{first}: installed with pip in {install_s:.0f} s, first table {predict_s:.1f} s later")
    sets = [(), *((name,) for name in options.extras)]
    if len(options.extras) > 1:
        sets.append(tuple(options.extras))
    passed = 0
    for python, extras in [*((first, names) for names in sets), *((name, ()) for name in others)]:
        try_install(python, options.torch, wheel, extras)
        print(f"{python} [{','.join(extras)}]: works", flush=True)
        passed += 1
    print(f"{passed} passed, 0 failed")


if __name__ == "__main__":
    main()
