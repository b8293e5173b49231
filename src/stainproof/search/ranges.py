"""Kinds of search ranges: a choice, a numeric range, a list, a range that depends on a choice."""

import json
import math
from typing import Any, Protocol, Self

from pydantic import Field, model_validator

from stainproof.config.parsing import Settings

Scalar = bool | int | float | str
Value = Scalar | list[Scalar]


class Draw(Protocol):
    """The interface of an Optuna trial."""

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Return one of the choices."""

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Return an integer."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return a number."""


class Categorical(Settings):
    """A choice among values."""

    values: tuple[Scalar, ...] = Field(min_length=1)

    @property
    def inactive_value(self) -> Scalar:
        """The value that stands for a parameter without effect."""
        return self.values[0]

    def draw(self, name: str, trial: Draw) -> Scalar:
        """Draw one of the values."""
        value: Scalar = trial.suggest_categorical(name, self.values)
        return value

    def holds(self, value: Any) -> bool:
        """Return whether the value is one of the choices."""
        return value in self.values

    def describe(self) -> str:
        """Return the values as text."""
        return ", ".join(map(as_text, self.values))


class Numeric(Settings):
    """A numeric range with both ends; an integer range if it is written with integers."""

    low: int | float
    high: int | float
    step: int | float | None = Field(None, gt=0)
    log: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.low <= self.high:
            raise ValueError(f"low {self.low} lies above high {self.high}")
        if self.log and (self.low <= 0 or self.step):
            raise ValueError("log takes a low above 0 and no step")
        if not self.holds(self.high):
            raise ValueError(f"steps of {self.step} from {self.low} miss {self.high}")
        return self

    @property
    def whole(self) -> bool:
        """Whether the range is one of integers."""
        return all(isinstance(one, int) for one in (self.low, self.high, self.step or 1))

    @property
    def inactive_value(self) -> Scalar:
        """The value that stands for a parameter without effect."""
        return self.low

    def draw(self, name: str, trial: Draw) -> Scalar:
        """Draw a number; floats are rounded to four digits."""
        if self.whole:
            low, high, step = int(self.low), int(self.high), int(self.step or 1)
            return trial.suggest_int(name, low, high, step=step, log=self.log)
        return _rounded(
            trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)
        )

    def at(self, position: float) -> float:
        """Return the number at a position from 0 (low) to 1 (high)."""
        if self.log:
            value = self.low * (self.high / self.low) ** position
        else:
            value = self.low + (self.high - self.low) * position
        if self.step or self.whole:
            step = self.step or 1
            value = self.low + step * round((value - self.low) / step)
        return int(value) if self.whole else _rounded(value)

    def position(self, value: float) -> float:
        """Return the position of a number, the inverse of `at`."""
        scale = math.log if self.log else float
        low, high = scale(self.low), scale(self.high)
        return (scale(value) - low) / (high - low) if high > low else 0.0

    def holds(self, value: Any) -> bool:
        """Return whether the number lies in the range and on its steps."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        steps = (value - self.low) / (self.step or 1)
        on_step = abs(steps - round(steps)) < 1e-6 or not (self.step or self.whole)
        return self.low <= value <= self.high and on_step

    def describe(self) -> str:
        """Return the range as text."""
        step = f" in steps of {self.step:g}" if self.step else ""
        return f"{self.low:g} to {self.high:g}{step}{', on a log scale' if self.log else ''}"


class ListOf(Settings):
    """A list of `min_length` to `len(each)` items, each with its own range."""

    each: tuple[Categorical | Numeric, ...] = Field(min_length=1)
    min_length: int = Field(1, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.min_length > len(self.each):
            raise ValueError(
                f"min_length {self.min_length} is more than the {len(self.each)} items"
            )
        return self

    def describe(self) -> str:
        """Return the ranges as text."""
        ranges = "; ".join(item.describe() for item in self.each)
        return f"{self.min_length} to {len(self.each)} of: {ranges}"


class Conditional(Settings):
    """A range that depends on the value of another setting; the position in it is drawn."""

    by: str
    ranges: dict[str, Numeric]

    def describe(self) -> str:
        """Return the ranges as text."""
        return "; ".join(f"{name}: {one.describe()}" for name, one in self.ranges.items())


def as_text(value: Value) -> str:
    """Return a value as it is written in an assignment."""
    return value if isinstance(value, str) else json.dumps(value)


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
