"""Score an audit against the known origin of every file.

python -m benchmarks.audit.against_truth --data DS1 --truth DS1_TRUTH.CSV [CLEAN ...]

Further folders are audited too; nothing is known to be wrong in them.
"""

import argparse
import csv
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.page import made_on, peak_memory_mb, write_section
from stainproof import api
from stainproof.audit.findings import Finding, read_csv


def audited(source: Path) -> tuple[list[Finding], int, float]:
    """Return the findings, the number of images and the seconds."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        summary = api.audit(source, folder)
        seconds = time.perf_counter() - began
        return read_csv(Path(folder) / "audit.csv"), summary.num_images, seconds


def score_rows(findings: list[Finding], truth: list[dict[str, str]]) -> list[str]:
    """Compare findings with the truth."""
    doctored = {row["file"] for row in truth if row["origin"] != "clean"}
    copies = {row["file"] for row in truth if row["duplicate_group"]}
    named = {one.file for one in findings if one.kind == "doctored"}
    hits = len(doctored & named)
    wrong = {one.file for one in findings} - doctored - copies
    groups: dict[str, set[str]] = {}
    for row in truth:
        if row["duplicate_group"]:
            groups.setdefault(row["duplicate_group"], set()).add(row["file"])
    found_groups: dict[tuple[str, str], set[str]] = {}
    for one in findings:
        if one.kind in ("exact_duplicate", "near_duplicate", "label_conflict"):
            found_groups.setdefault((one.kind, one.group), set()).add(one.file)
    whole = [files for files in groups.values() if any(files <= g for g in found_groups.values())]
    across = [files for files in groups.values() if len({name.split("/")[0] for name in files}) > 1]
    conflicts = [files for (kind, _), files in found_groups.items() if kind == "label_conflict"]
    num_sound = len(truth) - len(doctored | copies)
    by_kind = Counter(one.kind for one in findings if one.file in wrong)
    kinds = ", ".join(f"{count} {kind}" for kind, count in by_kind.most_common()) or "none"
    return [
        f"| doctored, recall | {hits / len(doctored):.4f} ({hits:,} of {len(doctored):,}) |",
        f"| doctored, precision | {hits / max(1, len(named)):.4f} ({hits:,} of {len(named):,}) |",
        f"| copy groups found whole | {len(whole)} of {len(groups)} |",
        f"| of those across labels, named label_conflict "
        f"| {sum(files in conflicts for files in across)} of {len(across)} |",
        f"| false findings among sound images | {len(wrong)} of {num_sound:,} "
        f"({100 * len(wrong) / num_sound:.2f} %): {kinds} |",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Audit, score and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("clean", type=Path, nargs="*", help="folders with nothing known wrong")
    options = parser.parse_args(arguments)
    findings, num_images, seconds = audited(options.data)
    with options.truth.open(newline="", encoding="utf-8") as file:
        truth = list(csv.DictReader(file))
    text = [
        f"| {options.data.name}, {num_images:,} images | |",
        "|---|---|",
        *score_rows(findings, truth),
        f"| time, peak memory | {seconds:.0f} s, {peak_memory_mb():,.0f} MB |",
        "",
        "| set with nothing known wrong | images | findings | by kind | seconds |",
        "|---|---|---|---|---|",
    ]
    for source in options.clean:
        findings, num_images, seconds = audited(source)
        by_kind = Counter(one.kind for one in findings)
        kinds = ", ".join(f"{count} {kind}" for kind, count in by_kind.most_common()) or "none"
        num = len({one.file for one in findings})
        text.append(
            f"| {source.name} | {num_images:,} | {num} ({100 * num / num_images:.2f} %) "
            f"| {kinds} | {seconds:.0f} |"
        )
    write_section("The audit against the truth", "\n".join([*text, "", made_on()]))


if __name__ == "__main__":
    main()
