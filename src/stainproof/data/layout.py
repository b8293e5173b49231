"""The layout of a folder: which part of a path is the class, the group and the split.

A layout is a pattern of path components below the folder, for instance `{group}/**/{label}/*`:
`{label}` is the class, `{group}` the patient or slide, `{split}` one of train, val and test; `*`
matches any text within a component, `**` any number of folders. Components can combine them, as in
`{label}/{group}_*`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stainproof.data.pattern import Pattern
from stainproof.errors import DataError
from stainproof.labels import looks_like_cell

SPLIT_NAMES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""Lower-case name of a split folder -> name of the split."""
PLAIN = "{label}/**"
_GROUP_NAME = re.compile(
    r"(patient|pat|pt|subject|subj|case|donor|slide|smear|sample|specimen|person|id)[ _\-.#]*\w*\d",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+")

Folders = tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """Class, group and split of one file."""

    label: str
    group: str | None
    split: str | None


class Layout:
    """A layout as a function from paths to classes, groups and splits."""

    def __init__(self, pattern: str):
        """Read a pattern.

        Raises:
            DataError: The pattern is over 1,000 characters, has no `{label}`, a field twice, or an
                unknown field.
        """
        self.pattern = pattern
        self._pattern = Pattern(pattern)
        fields = self._pattern.fields
        self.has_group, self.has_split = "group" in fields, "split" in fields

    def place(self, path: str) -> Place | None:
        """Return class, group and split of a path with forward slashes; None if it does not match.

        Raises:
            DataError: The split is not one of train, val and test.
        """
        found = self._pattern.match(path)
        if found is None:
            return None
        split = found.get("split")
        if split is not None:
            known = SPLIT_NAMES.get(split.lower())
            if known is None:
                raise DataError(
                    f"{path}: split {split!r}; allowed: {', '.join(SPLIT_NAMES)} in any case"
                )
            split = known
        return Place(found["label"], found.get("group"), split)


def guess_layout(source: str, paths: Iterable[str]) -> str:
    """Guess the layout of a folder from the paths of its images.

    Levels with one name only are passed over. A level named train, val and test is the split. The
    class is the level whose names are blood cells, or else the only level with several names that
    do not look like patients. Levels that look like patients or slides are groups.

    Args:
        source: The folder, for error messages.
        paths: Paths of the images below it, with forward slashes.

    Raises:
        DataError: There are no class folders, or there is more than one reading.
    """
    folders = sorted({tuple(path.split("/")[:-1]) for path in paths} - {()})
    if not folders:
        raise DataError(f"{source}: no class folders in it; expected one folder a class")
    prefix, rest = _without_constant_levels(folders)
    splits = {one[0] for one in rest}
    if _are_splits(splits):
        if bare := next((one[0] for one in rest if len(one) == 1), ""):
            raise DataError(
                f"{source}: images are directly in {bare!r}, not in class folders; give a table of "
                f"their classes instead, such as {bare}/_classes.csv, or leave them out with "
                "--layout '{split}/{label}/**'"
            )
        prefix.append("{split}")
        inner, rest = _without_constant_levels([one[1:] for one in rest])
        prefix += inner
    return "/".join([*prefix, *_guess_below(source, rest, "/".join(prefix))])


def _guess_below(source: str, folders: Sequence[Folders], prefix: str) -> list[str]:
    """Return the components of the layout below the constant levels and the split."""
    depth = min(map(len, folders))
    levels = [{one[level] for one in folders} for level in range(depth)]
    deepest = {one[-1] for one in folders}
    cells = [level for level in range(depth) if _are_cells(levels[level])]
    most = max((_share_of_cells(levels[level]) for level in cells), default=0.0)
    if _share_of_cells(deepest) > max(most, 0.8):
        return _label_last(source, levels, prefix)
    below = {name for one in folders for name in one[1:] if looks_like_cell(name)}
    if not cells and len(below) > 1:
        raise _ambiguous(source, prefix, ["{label}", "**"], ["**", "{label}", "*"])
    if cells:
        label = next(level for level in cells if _share_of_cells(levels[level]) == most)
    elif depth == 1 or len(levels[1]) == 1:
        label = 0
    else:
        varying = [level for level in range(depth) if len(levels[level]) > 1]
        candidates = [level for level in varying if not _are_groups(levels[level])]
        if len(candidates) != 1:
            raise _ambiguous(source, prefix, ["{label}", "**"], ["{group}", "**", "{label}", "*"])
        label = candidates[0]
    if _are_groups(levels[label]) and label not in cells:
        example = min(levels[label])
        raise DataError(
            f"{source}: the folders look like patients or slides ({example!r}), and no class "
            "folder was found; name the class folders with --layout, such as '{group}/{label}/*'"
        )
    return [*_above(source, levels[:label], prefix), "{label}", *_below(source, folders, label)]


def _label_last(source: str, levels: Sequence[set[str]], prefix: str) -> list[str]:
    """Return the components if the class folder is the last one and depths differ."""
    above = _above(source, levels[:1], prefix) if len(levels) > 1 else []
    return [*above, "**", "{label}", "*"]


def _above(source: str, levels: Sequence[set[str]], prefix: str) -> list[str]:
    """Return the components above the class: the topmost level of groups, else `*`."""
    varying = [level for level, names in enumerate(levels) if len(names) > 1]
    groups = [level for level in varying if _are_groups(levels[level], numbers=True)]
    if varying and not groups:
        raise _ambiguous(source, prefix, ["{group}", "**", "{label}", "*"], ["**", "{label}", "*"])
    return ["{group}" if level in groups[:1] else "*" for level in range(len(levels))]


def _below(source: str, folders: Sequence[Folders], label: int) -> list[str]:
    """Return the components below the class, with a level of groups if there is one."""
    deepest = max(map(len, folders))
    for level in range(label + 1, deepest):
        names = {one[level] for one in folders if len(one) > level}
        if len(names) > 1 and _are_groups(names):
            if any(len(one) <= level for one in folders):
                raise _ambiguous(source, "", ["{label}", "{group}", "**"], ["{label}", "**"])
            return [*["*"] * (level - label - 1), "{group}", "**"]
    return ["**"]


def _without_constant_levels(folders: Sequence[Folders]) -> tuple[list[str], list[Folders]]:
    """Remove leading levels with one name that is not a cell's, as long as levels remain."""
    prefix: list[str] = []
    rest = list(folders)
    while (
        len({one[0] for one in rest}) == 1
        and min(map(len, rest)) > 1
        and len(set(rest)) > 1
        and not looks_like_cell(rest[0][0])
    ):
        prefix.append("*")
        rest = [one[1:] for one in rest]
    return prefix, rest


def _are_splits(names: set[str]) -> bool:
    return {name.lower() for name in names} <= SPLIT_NAMES.keys()


def _are_cells(names: set[str]) -> bool:
    return _share_of_cells(names) >= 0.5


def _share_of_cells(names: set[str]) -> float:
    """Return the fraction of names that are those of blood cells."""
    return sum(map(looks_like_cell, names)) / len(names)


def _are_groups(names: set[str], *, numbers: bool = False) -> bool:
    """Return whether names look like patients or slides; with `numbers` any numbered names do."""
    if sum(bool(_GROUP_NAME.match(name)) for name in names) >= 0.8 * len(names):
        return True
    stems = {_NUMBER.sub("", name) for name in names if _NUMBER.search(name)}
    numbered = sum(bool(_NUMBER.search(name)) for name in names)
    return numbers and numbered >= 0.8 * len(names) and len(stems) <= max(1, len(names) // 3)


def _ambiguous(source: str, prefix: str, *readings: Sequence[str]) -> DataError:
    written = ["/".join(filter(None, (prefix, *one))).replace("**/**", "**") for one in readings]
    return DataError(
        f"{source}: more than one reading of its folders; choose one: "
        + " or ".join(f"--layout '{one}'" for one in written)
    )


def check_no_copy_within(source: str, layout: Layout, paths: Sequence[str]) -> None:
    """Check that a set has no copy of itself or of a part of itself within it.

    Args:
        source: The folder, for error messages.
        layout: The guessed layout.
        paths: Paths of the images, with forward slashes.

    Raises:
        DataError: A class name occurs below another class, or the path of a file without its first
            folders is that of another file.
    """
    _check_no_nested_class(source, layout, paths)
    known = set(paths)
    for path in paths:
        parts = path.split("/")
        inner = ("/".join(parts[level:]) for level in range(1, len(parts) - 1))
        if original := next((one for one in inner if one in known), ""):
            folder = path.removesuffix(f"/{original}")
            raise DataError(
                f"{source}: {original!r} is in {folder!r} too, as in a copy of the set within "
                f"itself; move {folder!r} away, or use both with --layout {layout.pattern!r}"
            )


def _check_no_nested_class(source: str, layout: Layout, paths: Sequence[str]) -> None:
    placed = [(path, place) for path in paths if (place := layout.place(path))]
    classes = {place.label for _, place in placed}
    for path, place in placed:
        folders = path.split("/")[:-1]
        below = folders[folders.index(place.label) + 1 :]
        if inner := next((name for name in below if name in classes), ""):
            raise DataError(
                f"{source}: class {inner!r} occurs below {place.label!r} ({path}), as in a copy of "
                f"the set within itself; move it away, or state --layout, such as '{PLAIN}'"
            )
