"""Parsing of settings: TOML files, assignments such as `training.epochs=3`, durations."""

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from stainproof.errors import ConfigError


class Settings(BaseModel):
    """Base of all groups of settings: immutable, unknown keys are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )


Group = TypeVar("Group", bound=Settings)


def make_settings(group: type[Group], values: dict[str, Any], what: str = "") -> Group:
    """Validate a group of settings.

    Args:
        group: The class of the group.
        values: Key -> value; values of nested groups are dicts.
        what: Start of the error message.

    Raises:
        ConfigError: A key is unknown or a value is out of range; the first error is named.
    """
    try:
        return group.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{what} {_first_fault(error, group)}".strip()) from error


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: The file is missing or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not a readable TOML file ({error})") from error


def assign(tree: dict[str, Any], assignment: str, replaced: Mapping[str, Sequence[str]]) -> None:
    """Set one value in a tree of settings.

    Args:
        tree: The tree; it is modified.
        assignment: A text such as `training.epochs=3`. Dots separate groups. A value that is not
            TOML is taken as a string.
        replaced: Setting -> other settings that are reset when this one is assigned.

    Raises:
        ConfigError: There is no key, or a group in it is a value.
    """
    key, equals, text = assignment.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {assignment!r}: write key=value, for instance training.epochs=3")
    if key.strip() == "preset":
        raise ConfigError(f"--set {assignment!r}: a preset is chosen with --preset")
    *groups, last = key.strip().split(".")
    branch = tree
    for group in groups:
        branch = branch.setdefault(group, {})
        if not isinstance(branch, dict):
            raise ConfigError(f"--set {assignment!r}: {group} is a value, not a group of settings")
    try:
        branch[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        branch[last] = text.strip()
    for dropped in replaced.get(key.strip(), ()) if branch[last] else ():
        group, _, name = dropped.partition(".")
        tree.get(group, {}).pop(name, None)


def key_of(assignment: str) -> str:
    """Return the key of a text such as `training.epochs=3`."""
    return assignment.partition("=")[0].strip()


def choose(table: dict[str, Any], name: str, what: str) -> Any:
    """Return `table[name]`.

    Raises:
        ConfigError: The table has no such name; the message lists the names.
    """
    check_known(name, table, what)
    return table[name]


def check_known(name: str, allowed: Collection[str], what: str) -> None:
    """Check that a name is allowed.

    Raises:
        ConfigError: It is not; the message lists the allowed names.
    """
    if name not in allowed:
        raise ConfigError(f"{what} {name!r} is unknown; allowed: {', '.join(allowed)}")


def parse_duration(text: str, what: str = "budget") -> float:
    """Parse a duration such as `90s`, `20m` or `1h30m`; return seconds.

    Raises:
        ConfigError: The text is not a duration above zero.
    """
    match = re.fullmatch(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?", text.strip().lower())
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if not total:
        raise ConfigError(
            f"{what} {text!r} is no length of time; write for instance 90s, 20m, 1h30m"
        )
    return float(total)


def _first_fault(error: ValidationError, model: type[BaseModel]) -> str:
    fault = error.errors()[0]
    path = [str(part) for part in fault["loc"]]
    key = ".".join(path)
    if fault["type"] == "extra_forbidden":
        return f"{key} is unknown; allowed: {', '.join(_keys_beside(path, model))}"
    if fault["type"] == "value_error":
        said = fault["msg"].removeprefix("Value error, ")
        return f"{key}: {said}" if key else said
    return f"{key}: {fault['msg']}, got {fault['input']!r}"


def _keys_beside(path: list[str], model: type[BaseModel]) -> list[str]:
    for part in path[:-1]:
        field = model.model_fields.get(part)
        kinds = (field.annotation, *get_args(field.annotation)) if field else ()
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                model = kind
    return list(model.model_fields)
