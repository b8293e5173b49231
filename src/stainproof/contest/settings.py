"""Settings of a contest: title, dates and limits."""

from datetime import date
from typing import Any, Self

from pydantic import Field, model_validator

from stainproof.config.parsing import Settings, assign, make_settings, parse_assignments


class Contest(Settings):
    """Title, dates and limits of a contest."""

    title: str = Field("Blood cells from another laboratory", min_length=1, max_length=200)
    """Title of the contest's pages."""
    start: date
    """First day of the development phase."""
    days: int = Field(28, ge=1, le=3650)
    """Length of the development phase; the final phase follows."""
    final_days: int = Field(7, ge=1, le=3650)
    """Length of the final phase."""
    submissions_a_day: int = Field(5, ge=1, le=1000)
    """Submissions per team and day in the development phase; the final phase allows one in all."""
    time_limit_s: int = Field(600, ge=1, le=86400)
    """Seconds that a submission may take for all images of a phase."""
    docker_image: str = Field("tensorflow/tensorflow:2.17.0", min_length=1)
    """Image that submissions run in; the default has the grader's TensorFlow, no ONNX Runtime."""

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if (date.max - self.start).days < self.days + self.final_days:
            raise ValueError(f"start: the contest would end after {date.max}, got {self.start}")
        return self


def make_contest(assignments: tuple[str, ...] = ()) -> Contest:
    """Build the settings of a contest, which by default starts today.

    Args:
        assignments: Texts such as `start=2026-12-01`.

    Raises:
        ConfigError: A key is unknown or a value is out of range.
    """
    tree: dict[str, Any] = {"start": date.today()}
    for key, value in parse_assignments(assignments):
        assign(tree, key, value, {})
    return make_settings(Contest, tree)
