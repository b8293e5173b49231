"""Class maps: rename, merge and leave out the classes of a source, by a TOML file."""

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files as package_files
from pathlib import Path

import numpy as np
from pydantic import Field

from stainproof.config.parsing import Settings, make_settings, read_toml
from stainproof.data.listing import Listing, check_class_names
from stainproof.errors import ConfigError, DataError
from stainproof.labels import BLOOD_CLASSES, canonical, normal_form

HAEMATOLOGY = "haematology"
"""Name of the class map that comes with the package: synonyms of the eight blood cells."""


class ClassMap(Settings):
    """Which class of a source becomes which class."""

    classes: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """New class -> names in the source that it replaces; its own name is always one of them."""
    ignore: tuple[str, ...] = ()
    """Names in the source that are left out."""
    min_images: int = Field(0, ge=0)
    """Classes with fewer images after renaming are left out."""

    def targets(self) -> dict[str, str]:
        """Return the normal form of every source name -> its new class; empty text if ignored.

        Raises:
            ConfigError: A name is given twice, or has no letter or digit.
        """
        rules = [(name, "") for name in self.ignore]
        for target, names in self.classes.items():
            rules += [(name, target) for name in (target, *names)]
        found: dict[str, str] = {}
        for name, target in rules:
            if not (key := normal_form(name)):
                raise ConfigError(f"class map: {name!r} has no letter or digit; rename the class")
            if found.setdefault(key, target) != target:
                raise ConfigError(
                    f"class map: {name!r} is both {found[key] or 'ignored'!r} "
                    f"and {target or 'ignored'!r}; keep one"
                )
        return found


def read_class_map(name: str) -> ClassMap:
    """Read a class map from a TOML file, or the packaged one by the name `haematology`.

    Raises:
        ConfigError: The file is missing, damaged, or has unknown or contradicting entries.
    """
    if name == HAEMATOLOGY and not Path(name).exists():
        return haematology_map()
    found = make_settings(ClassMap, read_toml(Path(name)), f"{name}: setting")
    found.targets()
    return found


@cache
def haematology_map() -> ClassMap:
    """Return the packaged class map."""
    text = package_files("stainproof.data").joinpath("haematology.toml").read_text("utf-8")
    return ClassMap.model_validate(tomllib.loads(text))


def apply_class_map(listing: Listing, class_map: ClassMap) -> Listing:
    """Return a listing with the classes of a class map; its notes say what was changed.

    Classes without a rule keep their name.

    Raises:
        DataError: No image is left.
    """
    targets = class_map.targets()
    names = {name: targets.get(normal_form(name), name) for name in listing.classes}
    counts = listing.class_counts()
    new_counts: Counter[str] = Counter()
    for name, target in names.items():
        new_counts[target] += counts[name]
    small = {name for name, count in new_counts.items() if 0 < count < class_map.min_images}
    kept = tuple(sorted({name for name in names.values() if name and name not in small}))
    if not kept:
        raise DataError(f"{listing.source}: the class map leaves no image")
    position = {name: index for index, name in enumerate(kept)}
    lookup = np.array([position.get(names[name], -1) for name in listing.classes])
    labels = lookup[listing.labels]
    dropped = {listing.names[index] for index in np.flatnonzero(labels < 0)}
    relabelled = replace(
        listing.without(dropped),
        classes=kept,
        labels=labels[labels >= 0],
        notes=(*listing.notes, *_notes(names, counts, new_counts, small)),
    )
    check_class_names(listing.source, kept)
    return relabelled


def _notes(
    names: Mapping[str, str], counts: Mapping[str, int], new: Mapping[str, int], small: set[str]
) -> list[str]:
    renamed = [f"{old} -> {to}" for old, to in names.items() if to not in ("", old)]
    ignored = [f"{old} ({counts[old]})" for old, to in names.items() if not to]
    too_small = [f"{name} ({new[name]})" for name in sorted(small)]
    notes = []
    if renamed:
        notes.append(f"classes renamed by the class map: {', '.join(renamed)}")
    if ignored:
        notes.append(f"classes left out by the class map: {', '.join(ignored)}")
    if too_small:
        notes.append(f"classes left out, below min_images of the class map: {', '.join(too_small)}")
    return notes


def map_unknown_classes(listing: Listing, known: Sequence[str]) -> Listing:
    """Map class names that a model does not know by the packaged haematology map, and say so.

    Applied only if every unknown name stands for a class of the model; otherwise the listing is
    returned unchanged. No image is left out.
    """
    spelt = {canonical(name) for name in known}
    targets = haematology_map().targets()
    unknown = [name for name in listing.classes if canonical(name) not in spelt]
    if not unknown or not spelt & set(BLOOD_CLASSES):
        return listing
    merged = {targets.get(normal_form(name), "") for name in unknown}
    if not merged <= spelt:
        return listing
    rules: dict[str, tuple[str, ...]] = dict.fromkeys(sorted(merged), ())
    for name in listing.classes:
        target = targets[normal_form(name)] if name in unknown else canonical(name)
        if target in merged:
            rules[target] += (name,)
    return apply_class_map(listing, ClassMap(classes=rules))
