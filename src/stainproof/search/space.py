"""The search space: settings and their ranges, read from TOML.

Every trial has a value for every parameter, including those without effect (items beyond the end of
a list keep a default), because samplers and importances need one fixed space.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from stainproof.config.parsing import key_of, read_toml
from stainproof.config.presets import make_config
from stainproof.config.schema import Config
from stainproof.errors import ConfigError
from stainproof.search.ranges import (
    Categorical,
    Conditional,
    Draw,
    ListOf,
    Numeric,
    Scalar,
    Value,
    as_text,
)

if TYPE_CHECKING:
    import optuna
    from optuna.samplers import BaseSampler

DEFAULT_FILE = Path(__file__).with_name("space.toml")
NOT_SEARCHABLE = ("preset", "seed", "split", "audit", "augment.validation", "training.budget_s")
"""Settings, and groups of settings, that cannot be searched because trials are compared under them.
"""
NUM_CHECKED = 64
"""Number of random draws that are checked before a search starts."""

Setting = Categorical | Numeric | ListOf | Conditional


@dataclass(frozen=True)
class Space:
    """Settings in the order in which they are drawn, with their ranges."""

    settings: dict[str, Setting]
    tree: dict[str, Any]
    """The content of the TOML file."""

    def draw(self, trial: Draw) -> dict[str, Value]:
        """Draw a value for every setting from an Optuna trial.

        List items are named `key[0]`, `key[1]`, ..., the list's length `len(key)`; of a range that
        depends on another setting, the position in it is named `key (0 to 1)`.
        """
        drawn: dict[str, Value] = {}
        for key, setting in self.settings.items():
            if isinstance(setting, ListOf):
                length = trial.suggest_int(f"len({key})", setting.min_length, len(setting.each))
                items = [item.draw(f"{key}[{i}]", trial) for i, item in enumerate(setting.each)]
                drawn[key] = items[:length]
            elif isinstance(setting, Conditional):
                position = trial.suggest_float(f"{key} (0 to 1)", 0.0, 1.0)
                drawn[key] = setting.ranges[as_text(drawn[setting.by])].at(position)
            else:
                drawn[key] = setting.draw(key, trial)
        return drawn

    def settle(self, names: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Return drawn parameters with the default for list items beyond the end of their list.

        Parameters without effect are then constant and get no importance.
        """
        settled = dict(names)
        for key, setting in self.settings.items():
            if isinstance(setting, ListOf):
                length = int(names[f"len({key})"])
                idle = list(enumerate(setting.each))[length:]
                settled |= {f"{key}[{i}]": item.inactive_value for i, item in idle}
        return settled

    def coordinates_of(self, config: Config) -> dict[str, Scalar] | None:
        """Return the parameters with which `draw` gives the settings of a run.

        The result is None if one of them lies outside of the space.
        """
        tree = config.model_dump()
        names: dict[str, Scalar] = {}
        inside = True
        for key, setting in self.settings.items():
            value = _value_at(tree, key)
            if isinstance(setting, ListOf):
                items = list(value or ())
                inside &= setting.min_length <= len(items) <= len(setting.each)
                names[f"len({key})"] = len(items)
                items += [item.inactive_value for item in setting.each[len(items) :]]
                for i, item in enumerate(setting.each):
                    inside &= item.holds(items[i])
                    names[f"{key}[{i}]"] = items[i]
            elif isinstance(setting, Conditional):
                one = setting.ranges.get(as_text(_value_at(tree, setting.by)))
                inside &= one is not None and one.holds(value)
                names[f"{key} (0 to 1)"] = one.position(value) if inside and one else 0.0
            else:
                inside &= setting.holds(value)
                names[key] = value
        return names if inside else None

    def describe(self) -> dict[str, str]:
        """Return every setting's range as text."""
        return {key: setting.describe() for key, setting in self.settings.items()}


def assignments(drawn: Mapping[str, Value]) -> tuple[str, ...]:
    """Return the values as assignments such as `training.epochs=3`."""
    return tuple(f"{key}={as_text(value)}" for key, value in drawn.items())


def read_space(path: Path | None, fixed: tuple[str, ...] = ()) -> Space:
    """Read a search space and check that random draws of it can be trained.

    Args:
        path: A TOML file; by default the one beside this module.
        fixed: Assignments that all trials share; a setting cannot be both fixed and searched.

    Raises:
        ConfigError: The file is not a search space, or a draw of it is an invalid run.
    """
    path = path or DEFAULT_FILE
    tree = read_toml(path)
    try:
        space = parse_space(tree)
        both = set(map(key_of, fixed)) & space.settings.keys()
        if both:
            raise ConfigError(f"{min(both)}: searched, and fixed by --set; take it out of one")
        _check(space, fixed)
    except ConfigError as error:
        raise ConfigError(f"{path.name}: {error}") from error
    return space


def parse_space(tree: dict[str, Any]) -> Space:
    """Return the search space of a TOML tree.

    Raises:
        ConfigError: The tree is not a search space.
    """
    settings: dict[str, Setting] = {}
    for key, node in _flatten(tree).items():
        if any(key == one or key.startswith(f"{one}.") for one in NOT_SEARCHABLE):
            raise ConfigError(f"{key}: cannot be searched: it must be equal in all trials")
        try:
            settings[key] = _parse(node)
        except ValidationError as error:
            fault = error.errors()[0]
            place = ".".join(map(str, (key, *fault["loc"])))
            message = fault["msg"].removeprefix("Value error, ")
            raise ConfigError(f"{place}: {message}, got {fault['input']!r}") from error
        _check_conditional(key, settings)
    if not settings:
        raise ConfigError("no setting to search")
    return Space(settings, tree)


def study_in_memory(
    directions: Sequence[Literal["minimize", "maximize"]], sampler: "BaseSampler | None" = None
) -> "optuna.Study":
    """Return an Optuna study in memory, with logging silenced."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(directions=directions, sampler=sampler)


def _parse(node: Any) -> Setting:
    if isinstance(node, dict) and isinstance(node.get("each"), list):
        return ListOf.model_validate({**node, "each": [_parse_one(one) for one in node["each"]]})
    if isinstance(node, dict) and "by" in node:
        ranges = {name: one for name, one in node.items() if name != "by"}
        return Conditional.model_validate({"by": node["by"], "ranges": ranges})
    return _parse_one(node)


def _parse_one(node: Any) -> Categorical | Numeric:
    if isinstance(node, list):
        return Categorical.model_validate({"values": node})
    return Numeric.model_validate(node)


def _check_conditional(key: str, settings: Mapping[str, Setting]) -> None:
    setting = settings[key]
    if isinstance(setting, Conditional):
        other = settings.get(setting.by)
        if not isinstance(other, Categorical):
            raise ConfigError(f"{key}: by {setting.by!r}, which is not a choice defined above it")
        for value in map(as_text, other.values):
            if value not in setting.ranges:
                raise ConfigError(f"{key}: no range for {setting.by}={value}")


def _check(space: Space, fixed: tuple[str, ...]) -> None:
    """Check random draws: settings and layers must be valid.

    An invalid combination that is too rare to occur here becomes a failed trial.
    """
    from optuna.samplers import RandomSampler

    from stainproof.models.network import check_network
    from stainproof.training.progressive_resizing import training_sizes_px

    study = study_in_memory(["maximize"], RandomSampler(seed=0))
    for _ in range(NUM_CHECKED):
        config = make_config(assignments=(*fixed, *assignments(space.draw(study.ask()))))
        check_network(config, training_sizes_px(config))


def _value_at(tree: Mapping[str, Any], key: str) -> Any:
    """Return the value of a dotted key; None if there is none."""
    value: Any = tree
    for name in key.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _flatten(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return dotted key -> value; a table that defines a range is a value."""
    flat: dict[str, Any] = {}
    for name, node in tree.items():
        key = f"{above}{name}"
        if isinstance(node, dict) and not node.keys() & {"low", "high", "each", "by"}:
            flat |= _flatten(node, f"{key}.")
        else:
            flat[key] = node
    return flat
