"""The audit beside cleanvision and fastdup: findings, time and memory.

python -m benchmarks.audit.beside_other_tools --data DS1 --truth DS1_TRUTH.CSV

Every tool runs in a process of its own with its defaults.
"""

import argparse
import contextlib
import csv
import io
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.child import MAIN, run_module
from benchmarks.common.child import TOOLS as TOOLS_ENVIRONMENT
from benchmarks.common.page import made_on, peak_memory_mb, write_section

FASTDUP = ".venv-fastdup"
"""Pins older versions of the other tools' packages: pip finds no common solution."""
Found = dict[str, list[str]]


def by_stainproof(data: Path) -> Found:
    """Run our audit."""
    from stainproof import api
    from stainproof.audit.findings import read_csv

    with tempfile.TemporaryDirectory() as folder:
        api.audit(data, folder)
        found: Found = {}
        for one in read_csv(Path(folder) / "audit.csv"):
            found.setdefault(one.kind, []).append(one.file)
    return found


def by_cleanvision(data: Path) -> Found:
    """Run cleanvision's nine checks."""
    from cleanvision import Imagelab

    lab = Imagelab(data_path=str(data))
    with contextlib.redirect_stdout(io.StringIO()):
        lab.find_issues()
    found: Found = {}
    for column in lab.issues.columns:
        if column.startswith("is_") and column.endswith("_issue"):
            named = lab.issues.index[lab.issues[column]]
            kind = column.removeprefix("is_").removesuffix("_issue")
            found[kind] = [_relative(path, data) for path in named]
    return found


def by_fastdup(data: Path) -> Found:
    """Run fastdup: copies by the similarity above which it clusters, 0.96, and outliers."""
    import fastdup

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        job = fastdup.create(work_dir=folder, input_dir=str(data))
        job.run(num_images=0, verbose=0, overwrite=True)
        pairs: Any = job.similarity()
        outliers: Any = job.outliers()
    near = pairs[pairs["distance"] >= 0.96]
    names = set(near["filename_from"]) | set(near["filename_to"])
    return {
        "near_duplicate": sorted(_relative(name, data) for name in names),
        "outlier": sorted({_relative(name, data) for name in outliers["filename_outlier"]}),
    }


def _relative(name: str, data: Path) -> str:
    return str(Path(name).resolve().relative_to(data.resolve()))


TOOLS = {"stainproof": by_stainproof, "cleanvision": by_cleanvision, "fastdup": by_fastdup}
ENVIRONMENTS = {"stainproof": MAIN, "cleanvision": TOOLS_ENVIRONMENT, "fastdup": FASTDUP}


def measure(tool: str, data: Path) -> dict[str, Any]:
    """Run one tool in a process of its own."""
    printed = run_module(
        "audit.beside_other_tools", "--tool", tool, "--data", str(data),
        environment=ENVIRONMENTS[tool],
    )  # fmt: skip
    result: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all tools in turn, compare with the truth, write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--tools", nargs="+", default=list(TOOLS), choices=list(TOOLS))
    parser.add_argument("--tool", choices=list(TOOLS), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.tool:
        began = time.perf_counter()
        found = TOOLS[options.tool](options.data)
        cost = {"seconds": time.perf_counter() - began, "mb": peak_memory_mb()}
        print("\n" + json.dumps({"found": found, **cost}))
        return
    with options.truth.open(newline="", encoding="utf-8") as file:
        truth = list(csv.DictReader(file))
    doctored = {row["file"] for row in truth if row["origin"] != "clean"}
    copies = {row["file"] for row in truth if row["duplicate_group"]}
    rows = [
        "| tool | doctored found under any kind | copies found | sound images named | kinds "
        "| seconds | peak MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for tool in options.tools:
        result = measure(tool, options.data)
        named = {file for files in result["found"].values() for file in files}
        copied = {
            file for kind, files in result["found"].items() if "duplicate" in kind for file in files
        }
        kinds = ", ".join(f"{kind} {len(set(v)):,}" for kind, v in result["found"].items() if v)
        rows.append(
            f"| {tool} | {len(doctored & named):,} of {len(doctored):,} "
            f"| {len(copies & copied)} of {len(copies)} | {len(named - doctored - copies):,} "
            f"| {kinds} | {result['seconds']:.0f} | {result['mb']:,.0f} |"
        )
        print(rows[-1], flush=True)
    write_section("The audit beside other tools", "\n".join([*rows, "", made_on()]))


if __name__ == "__main__":
    main()
