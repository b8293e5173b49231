"""The result of a check of a run, as `verify` and `reproduce` print it."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True)
class Check:
    """One check and how it ended."""

    name: str
    """What was checked, such as the name of a file."""
    outcome: Outcome
    """`skipped`: there is nothing to compare with, as in runs of earlier versions."""
    detail: str

    def __str__(self) -> str:
        return f"{self.outcome:7s} {self.name}: {self.detail}"


def compare(name: str, differences: list[str], agreement: str) -> Check:
    """Return a check that fails if there are differences."""
    if differences:
        return Check(name, "failed", "; ".join(differences))
    return Check(name, "ok", agreement)
