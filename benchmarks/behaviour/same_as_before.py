"""Compare weights, predictions and audits with those of an earlier commit, byte by byte.

python -m benchmarks.behaviour.same_as_before --before 18b6f4a [--data data/ds1 --test data/clean]

Both commits run the same commands with the same seeds on one thread in float32: training of the
networks `light` and `an2dl`, prediction with two engines, an audit, cleaning. Without `--data` the
images are synthetic.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.child import ROOT
from benchmarks.common.page import made_on, write_section

ONE_THREAD = ("--set", "training.threads=1", "--set", "training.precision=float32")
RENAMED_PRESETS = {"18b6f4a": "report"}
"""Commit -> what it calls the preset `an2dl`."""


def hashes(tree: Path, out: Path, an2dl: str, data: str, test: str) -> dict[str, str]:
    """Run the commands of a source tree in a folder; return name -> SHA-256 of each result."""
    out.mkdir()

    def run(*words: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "stainproof", *words],
            env={**os.environ, "PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"},
            cwd=out,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{tree.name}: stainproof {' '.join(words)}: {done.stderr[-800:]}")

    run("phantom", "--out", "home", "--n", "400", "--seed", "5")
    run("phantom", "--out", "other", "--n", "160", "--seed", "6", "--lab", "other")
    two = ("--set", "training.epochs=2", *ONE_THREAD)
    run("train", "home", "--out", "light", "--preset", "light", "--seed", "3", *two)
    one = ("--set", "training.epochs=1", "--set", "training.batch_size=64", *ONE_THREAD)
    run("train", "home", "--out", "an2dl", "--preset", an2dl, "--seed", "4", *one)
    run("predict", "light", "other", "--out", "light.csv", "--engine", "torch")
    run("predict", "an2dl", "other", "--out", "an2dl.csv", "--engine", "onnxruntime")
    run("audit", data or "home", "--out", "audit")
    run("clean", data or "home", "--audit", "audit", "--out", "clean.csv")
    found = {
        "weights, light, 2 epochs": out / "light" / "best.safetensors",
        "weights, an2dl, 1 epoch": out / "an2dl" / "best.safetensors",
        "predictions, light, torch": out / "light.csv",
        "predictions, an2dl, ONNX Runtime": out / "an2dl.csv",
        "audit.csv": out / "audit" / "audit.csv",
        "cleaned manifest": out / "clean.csv",
    }
    if data:
        run("train", "clean.csv", "--out", "real", "--preset", "light", "--seed", "1", *one[:2],
            *ONE_THREAD)  # fmt: skip
        run("predict", "real", test, "--out", "real.csv", "--engine", "onnxruntime")
        found["weights, light, 1 epoch of the cleaned data"] = out / "real" / "best.safetensors"
        found["predictions on the test images"] = out / "real.csv"
    return {what: hashlib.sha256(content(path)).hexdigest() for what, path in found.items()}


def content(path: Path) -> bytes:
    """Return the bytes of a file; a table of predictions without an empty column `error`.

    Earlier commits wrote that column only if an image could not be read.
    """
    data = path.read_bytes()
    lines = data.splitlines(keepends=True)
    if not lines[0].endswith(b',"error"\n') or not all(one.endswith(b",\n") for one in lines[1:]):
        return data
    return lines[0].replace(b',"error"', b"") + b"".join(one[:-2] + b"\n" for one in lines[1:])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both commits, compare, write the section; a difference ends with exit code 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", required=True, help="the earlier commit")
    parser.add_argument("--data", default="", help="labelled images to audit, clean and train on")
    parser.add_argument("--test", default="", help="images to predict")
    options = parser.parse_args(arguments)
    data, test = (str(Path(one).resolve()) if one else "" for one in (options.data, options.test))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = ["git", "-C", str(ROOT), "archive", options.before]
        (folder / "tree").mkdir()
        tar = subprocess.run(archive, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", str(folder / "tree")], input=tar, check=True)
        an2dl = RENAMED_PRESETS.get(options.before, "an2dl")
        before = hashes(folder / "tree", folder / "before", an2dl, data, test)
        after = hashes(ROOT, folder / "after", "an2dl", data, test)
    lines = [f"| result | {options.before} | now | |", "|---|---|---|---|"]
    for what, sha256 in before.items():
        word = "the same" if sha256 == after[what] else "**different**"
        lines.append(f"| {what} | `{sha256[:12]}` | `{after[what][:12]}` | {word} |")
    note = f"SHA-256, one thread, float32. {made_on()}"
    write_section("Behaviour as before", "\n".join([*lines, "", note]))
    if before != after:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
