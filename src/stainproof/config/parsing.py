"""Parsing of settings: TOML files, assignments such as `training.epochs=3`, durations."""

import math
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from numbers import Real
from pathlib import Path
from reprlib import Repr
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from stainproof import files
from stainproof.errors import ConfigError, DataError, first_line, shortened

MAX_TOML_BYTES = 256 * 2**10
MAX_DOTS = 100
"""Keys of more parts are refused, because the parser's time grows with their square."""
_PARTS = re.compile(r"[,\n]")
_short = Repr()
_short.maxlevel = 4
_short.maxstring = _short.maxother = 200
_short.maxlist = _short.maxtuple = _short.maxdict = 20


class Settings(BaseModel):
    """Base of all groups of settings: immutable, unknown keys are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )


Group = TypeVar("Group", bound=Settings)
Assignments = Sequence[str] | Mapping[str, Any]
"""Single settings: texts such as `training.epochs=3`, or dotted key -> value."""


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
        ConfigError: The file is missing, not a regular file, over 256 KiB, or is no TOML; or its
            keys or values are nested too deeply.
    """
    try:
        files.check_regular(path, MAX_TOML_BYTES)
        content = files.read_bytes(path, MAX_TOML_BYTES)
    except DataError as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise ConfigError(f"{path}: not a readable TOML file ({error.strerror})") from error
    return parse_toml(content, path)


def parse_toml(content: bytes, path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Args:
        content: The file's bytes.
        path: The file, for messages.

    Raises:
        ConfigError: The content is no TOML, or its keys or values are nested too deeply.
    """
    try:
        text = content.decode("utf-8").replace("\r\n", "\n")
        if max(part.count(".") for part in _PARTS.split(text)) > MAX_DOTS:
            raise ConfigError(f"{path}: a key with more than {MAX_DOTS} dots")
        return tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError(f"{path}: nested too deeply") from error
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError, numbers of too many digits
        raise ConfigError(f"{path}: not a readable TOML file ({first_line(error)})") from error


def parse_assignments(assignments: Assignments) -> list[tuple[str, Any]]:
    """Return dotted keys and their values.

    Args:
        assignments: Texts such as `training.epochs=3`, where a value that is not TOML is taken as a
            string, or a mapping such as `{"training.epochs": 3}` or `{"training__epochs": 3}`,
            where a value can be a path.

    Raises:
        ConfigError: A text has no key or no value.
    """
    if isinstance(assignments, Mapping):
        return [
            (key.replace("__", "."), str(value) if isinstance(value, Path) else value)
            for key, value in assignments.items()
        ]
    return [_parse_assignment(text) for text in assignments]


def _parse_assignment(assignment: str) -> tuple[str, Any]:
    key, equals, text = (part.strip() for part in assignment.partition("="))
    if not equals or not key:
        raise ConfigError(f"--set {assignment!r}: write key=value, for instance training.epochs=3")
    try:
        return key, tomllib.loads(f"value = {text}")["value"]
    except RecursionError as error:
        raise ConfigError(f"--set {key}: nested too deeply") from error
    except ValueError:
        return key, text


def key_of(assignment: str) -> str:
    """Return the key of a text such as `training.epochs=3`."""
    return assignment.partition("=")[0].strip()


def assign(
    tree: dict[str, Any], key: str, value: Any, replaced: Mapping[str, Sequence[str]]
) -> None:
    """Set one value in a tree of settings.

    Args:
        tree: The tree; it is modified.
        key: A key such as `training.epochs`; dots separate groups.
        value: Its value.
        replaced: Setting -> other settings that are reset when this one is assigned.

    Raises:
        ConfigError: The key is `preset`, or a group in it is a value.
    """
    if key == "preset":
        raise ConfigError(f"setting preset={value!r}: a preset is chosen with --preset")
    *groups, last = key.split(".")
    branch = tree
    for group in groups:
        branch = branch.setdefault(group, {})
        if not isinstance(branch, dict):
            raise ConfigError(f"setting {key!r}: {group} is a value, not a group of settings")
    branch[last] = value
    for dropped in replaced.get(key, ()) if value else ():
        group, _, name = dropped.partition(".")
        tree.get(group, {}).pop(name, None)


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
    if name not in tuple(allowed):  # a name that is not hashable is unknown too
        raise ConfigError(f"{what} {name!r} is unknown; allowed: {', '.join(allowed)}")


def check_seed(seed: int) -> None:
    """Check a seed of random numbers.

    Raises:
        ConfigError: It is below 0.
    """
    if seed < 0:
        raise ConfigError(f"seed must be 0 or more, got {seed}")


def parse_share(given: str | float, what: str) -> float:
    """Parse a share such as `2%` or `0.02`; return it as a number between 0 and 1.

    Raises:
        ConfigError: It is not a share above 0 and below 1.
    """
    text = str(given).strip()
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        raise ConfigError(
            f"{what}: must be above 0 % and below 100 %, such as 2% or 0.02; got {given!r}"
        )
    return share


def parse_duration(given: str | float, what: str = "budget") -> float:
    """Parse a duration such as `90s`, `20m` or `1h30m`, or a number of seconds; return seconds.

    Raises:
        ConfigError: It is not a duration above zero.
    """
    if isinstance(given, Real) and not isinstance(given, bool) and 0 < given < math.inf:
        return float(given)
    text = given.strip().lower() if isinstance(given, str) else ""
    match = re.fullmatch(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?", text)
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if not total:
        raise ConfigError(
            f"{what} {given!r} is no length of time; write for instance 90s, 20m, 1h30m"
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
    return f"{key}: {fault['msg']}, got {shortened(_short.repr(fault['input']))}"


def _keys_beside(path: list[str], model: type[BaseModel]) -> list[str]:
    for part in path[:-1]:
        field = model.model_fields.get(part)
        kinds = (field.annotation, *get_args(field.annotation)) if field else ()
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                model = kind
    return list(model.model_fields)
