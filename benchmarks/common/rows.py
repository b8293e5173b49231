"""Rows of results as rows of a Markdown table."""

from collections.abc import Sequence
from statistics import mean, stdev

from stainproof.search.experiment import Row

CLEAN, SHIFTED, OTHER = "clean", "ds2", "other_lab"
TESTS = (CLEAN, SHIFTED, OTHER)
HEAD = [
    f"| run | seed | epochs | minutes | precision | {' | '.join(TESTS)} | augmented validation |",
    "|---|---|---|---|---|---|---|---|---|",
]


def missing(wanted: Sequence[str], rows: dict[str, Row]) -> str:
    """Say which rows there are not yet."""
    names = [name for name in wanted if name not in rows]
    return f"Not run yet: {', '.join(names)}." if names else ""


def seeds_line(what: str, seeds: Sequence[Row]) -> str:
    """Return mean and standard deviation over rows that differ by their seed."""
    found = [[row.accuracy[test].value for row in seeds] for test in TESTS]
    found.append([row.best.val_augmented_accuracy or 0 for row in seeds])
    spreads = " | ".join(f"**{100 * mean(one):.1f}** ± {100 * stdev(one):.1f} %" for one in found)
    return f"| **{what}, {len(seeds)} seeds** | | | | | {spreads} |"


def line(row: Row) -> str:
    """Return a row of the study as a row of the table."""
    found = " | ".join(row.accuracy[test].percent() for test in TESTS)
    shifted = 100 * (row.best.val_augmented_accuracy or 0)
    return (
        f"| {row.experiment.name} | {row.experiment.seed} | {row.num_epochs} | "
        f"{row.minutes:.0f} | {row.precision} | {found} | {shifted:.1f} % |"
    )


def where(made: Sequence[Row]) -> str:
    """Say which machines, commits and days rows come from."""
    machines = sorted({row.provenance.machine for row in made})
    commits = sorted({row.provenance.commit for row in made})
    days = sorted({row.provenance.created[:10] for row in made})
    return f"{'; '.join(machines)}; commits {', '.join(commits)}; {', '.join(days)}."
