"""The space that is searched: settings of a run and the values each may take, read from TOML.

Every trial draws a number or a choice under every name, whether it counts or not (the last item
of a list that turned out shorter does not): samplers that look at all names together, and
importances, then see one space.
"""

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from pydantic import Field, ValidationError, model_validator

from stainproof.config import Config, make_config
from stainproof.errors import ConfigError
from stainproof.settings import Settings

if TYPE_CHECKING:
    import optuna
    from optuna.samplers import BaseSampler

DEFAULT_FILE = Path(__file__).with_name("space.toml")
YARDSTICK = ("preset", "seed", "split", "audit", "augment.validation", "training.budget_s")
"""Settings, and groups of them, that all trials share: they say what a trial is measured by."""
NUM_CHECKED = 64
"""Random draws that a space must survive before a search begins."""

Scalar = bool | int | float | str
Value = Scalar | list[Scalar]


class Draw(Protocol):
    """What answers for a value, by name: an Optuna trial."""

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Return one of the choices."""

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Return a whole number."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return a number."""


class OneOf(Settings):
    """One of some values."""

    values: tuple[Scalar, ...] = Field(min_length=1)

    @property
    def usual(self) -> Scalar:
        """Return a value to stand where none counts."""
        return self.values[0]

    def draw(self, name: str, trial: Draw) -> Scalar:
        """Return one of the values."""
        value: Scalar = trial.suggest_categorical(name, self.values)
        return value

    def holds(self, value: Any) -> bool:
        """Say whether the value is one of these."""
        return value in self.values

    def describe(self) -> str:
        """Return the values as a person would write them."""
        return ", ".join(map(_text, self.values))


class Between(Settings):
    """A number in a range, both ends included; whole where the range is written in whole ones."""

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
        """Whether the number is whole."""
        return all(isinstance(one, int) for one in (self.low, self.high, self.step or 1))

    @property
    def usual(self) -> Scalar:
        """Return a value to stand where none counts."""
        return self.low

    def draw(self, name: str, trial: Draw) -> Scalar:
        """Return a number of the range, to four digits where it is not whole."""
        if self.whole:
            low, high, step = int(self.low), int(self.high), int(self.step or 1)
            return trial.suggest_int(name, low, high, step=step, log=self.log)
        return _rounded(
            trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)
        )

    def at(self, position: float) -> float:
        """Return the number at a position from 0, which is low, to 1, which is high."""
        if self.log:
            return _rounded(self.low * (self.high / self.low) ** position)
        return _rounded(self.low + (self.high - self.low) * position)

    def position(self, value: float) -> float:
        """Return the position of a number, the inverse of `at`."""
        scale = math.log if self.log else float
        low, high = scale(self.low), scale(self.high)
        return (scale(value) - low) / (high - low) if high > low else 0.0

    def holds(self, value: Any) -> bool:
        """Say whether the number lies in the range and on its steps."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        steps = (value - self.low) / (self.step or 1)
        on_step = abs(steps - round(steps)) < 1e-6 or not (self.step or self.whole)
        return self.low <= value <= self.high and on_step

    def describe(self) -> str:
        """Return the range as a person would write it."""
        step = f" in steps of {self.step:g}" if self.step else ""
        return f"{self.low:g} to {self.high:g}{step}{', on a log scale' if self.log else ''}"


class Items(Settings):
    """A list of values, each with a range of its own; it may be shorter than all of them."""

    each: tuple[OneOf | Between, ...] = Field(min_length=1)
    least: int = Field(1, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.least > len(self.each):
            raise ValueError(f"least {self.least} is more than the {len(self.each)} items")
        return self

    def describe(self) -> str:
        """Return the ranges as a person would write them."""
        ranges = "; ".join(item.describe() for item in self.each)
        return f"{self.least} to {len(self.each)} of: {ranges}"


class By(Settings):
    """A range that goes by another setting's value; what is drawn is the position in it."""

    by: str
    ranges: dict[str, Between]

    def describe(self) -> str:
        """Return the ranges as a person would write them."""
        return "; ".join(f"{name}: {one.describe()}" for name, one in self.ranges.items())


@dataclass(frozen=True)
class Space:
    """Settings in the order in which they are drawn, each with its values."""

    settings: dict[str, OneOf | Between | Items | By]
    tree: dict[str, Any]
    """As it stood in the file."""

    def draw(self, trial: Draw) -> dict[str, Value]:
        """Return a value for every setting, asked of the trial under plain names.

        The items of a list are `key[0]`, `key[1]`, ..., its length is `len(key)`; where a range
        goes by another setting, the position in it is `key (0 to 1)`.
        """
        drawn: dict[str, Value] = {}
        for key, setting in self.settings.items():
            if isinstance(setting, Items):
                length = trial.suggest_int(f"len({key})", setting.least, len(setting.each))
                items = [item.draw(f"{key}[{i}]", trial) for i, item in enumerate(setting.each)]
                drawn[key] = items[:length]
            elif isinstance(setting, By):
                position = trial.suggest_float(f"{key} (0 to 1)", 0.0, 1.0)
                drawn[key] = setting.ranges[_text(drawn[setting.by])].at(position)
            else:
                drawn[key] = setting.draw(key, trial)
        return drawn

    def locate(self, config: Config) -> dict[str, Scalar] | None:
        """Return the names and values under which `draw` gives the settings of this run.

        Nothing is returned where one of them lies outside the space.
        """
        flat = _flatten(config.model_dump())
        names: dict[str, Scalar] = {}
        inside = True
        for key, setting in self.settings.items():
            value: Any = flat.get(key)
            if isinstance(setting, Items):
                items = list(value or ())
                inside &= setting.least <= len(items) <= len(setting.each)
                names[f"len({key})"] = len(items)
                items += [item.usual for item in setting.each[len(items) :]]
                for i, item in enumerate(setting.each):
                    inside &= item.holds(items[i])
                    names[f"{key}[{i}]"] = items[i]
            elif isinstance(setting, By):
                one = setting.ranges.get(_text(flat[setting.by]))
                inside &= one is not None and one.holds(value)
                names[f"{key} (0 to 1)"] = one.position(value) if inside and one else 0.0
            else:
                inside &= setting.holds(value)
                names[key] = value
        return names if inside else None

    def describe(self) -> dict[str, str]:
        """Return what every setting may be, for people."""
        return {key: setting.describe() for key, setting in self.settings.items()}


def assignments(drawn: Mapping[str, Value]) -> tuple[str, ...]:
    """Return the values as texts such as `training.epochs=3`."""
    return tuple(f"{key}={_text(value)}" for key, value in drawn.items())


def read_space(path: Path | None, fixed: tuple[str, ...] = ()) -> Space:
    """Read a space and make sure that random draws of it can be trained.

    Args:
        path: A TOML file; by default the one beside this module.
        fixed: Assignments that every trial shares; no setting may be both fixed and searched.

    Raises:
        ConfigError: The file is no such space, or a draw of it is no valid run.
    """
    path = path or DEFAULT_FILE
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not a readable TOML file ({error})") from error
    try:
        space = parse_space(tree)
        both = {one.partition("=")[0].strip() for one in fixed} & space.settings.keys()
        if both:
            raise ConfigError(f"{min(both)}: searched, and fixed by --set")
        _check(space, fixed)
    except ConfigError as error:
        raise ConfigError(f"{path.name}: {error}") from error
    return space


def parse_space(tree: dict[str, Any]) -> Space:
    """Return the space that a TOML tree stands for.

    Raises:
        ConfigError: It stands for none.
    """
    settings: dict[str, OneOf | Between | Items | By] = {}
    for key, node in _flatten(tree).items():
        if any(key == one or key.startswith(f"{one}.") for one in YARDSTICK):
            raise ConfigError(f"{key}: cannot be searched; trials are measured by it")
        try:
            settings[key] = _parse(node)
        except ValidationError as error:
            fault = error.errors()[0]
            place = ".".join(map(str, (key, *fault["loc"])))
            message = fault["msg"].removeprefix("Value error, ")
            raise ConfigError(f"{place}: {message}, got {fault['input']!r}") from error
        _check_by(key, settings)
    if not settings:
        raise ConfigError("no setting to search")
    return Space(settings, tree)


def study_in_memory(
    directions: Sequence[Literal["minimize", "maximize"]], sampler: "BaseSampler | None" = None
) -> "optuna.Study":
    """Return an Optuna study that leaves no trace and says nothing."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(directions=directions, sampler=sampler)


def _parse(node: Any) -> OneOf | Between | Items | By:
    if isinstance(node, dict) and isinstance(node.get("each"), list):
        return Items.model_validate({**node, "each": [_parse_one(one) for one in node["each"]]})
    if isinstance(node, dict) and "by" in node:
        ranges = {name: one for name, one in node.items() if name != "by"}
        return By.model_validate({"by": node["by"], "ranges": ranges})
    return _parse_one(node)


def _parse_one(node: Any) -> OneOf | Between:
    if isinstance(node, list):
        return OneOf.model_validate({"values": node})
    return Between.model_validate(node)


def _check_by(key: str, settings: Mapping[str, OneOf | Between | Items | By]) -> None:
    setting = settings[key]
    if isinstance(setting, By):
        other = settings.get(setting.by)
        if not isinstance(other, OneOf):
            raise ConfigError(f"{key}: by {setting.by!r}, which is no choice that stands above")
        for value in map(_text, other.values):
            if value not in setting.ranges:
                raise ConfigError(f"{key}: no range for {setting.by}={value}")


def _check(space: Space, fixed: tuple[str, ...]) -> None:
    """Build the settings of random draws and check their layers.

    What is too rare to be met here becomes a failed trial, not a failed search.
    """
    from optuna.samplers import RandomSampler

    from stainproof.models.network import check_network

    study = study_in_memory(["maximize"], RandomSampler(seed=0))
    for _ in range(NUM_CHECKED):
        config = make_config(assignments=(*fixed, *assignments(space.draw(study.ask()))))
        check_network(config.network, config.input)


def _flatten(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return dotted key -> value; a table that tells of a range is a value."""
    flat: dict[str, Any] = {}
    for name, node in tree.items():
        key = f"{above}{name}"
        if isinstance(node, dict) and not node.keys() & {"low", "high", "each", "by"}:
            flat |= _flatten(node, f"{key}.")
        else:
            flat[key] = node
    return flat


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _text(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value)
