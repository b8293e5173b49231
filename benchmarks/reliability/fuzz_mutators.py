"""Changes of files that keep a checksum or a structure right, so that readers come further."""

import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

MutateBytes = Callable[[bytes, int], bytes]
"""Changes bytes at random: the content and the largest size of the result -> the result."""
Mutator = Callable[[bytes, int, Random, MutateBytes], bytes]
"""Content, largest size, random generator and a change of bytes -> changed content."""

SHARE_OF_BYTES = 0.3
"""Share of the changes that know nothing of the format."""
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 255, 2**31, 2**63, 10**400, 0.5, -0.0, 1e-320, 1e308,
    float("nan"), float("inf"), "", "nan", "0", "a" * 300, "../x", "\x00", "\x1b[31m", "\ud800",
    "a\nb", [], [[]], {}, {"": 0},
)  # fmt: skip
"""Values that a field of JSON should not have."""
_PNG = b"\x89PNG\r\n\x1a\n"


def change_json(content: bytes, max_size: int, rng: Random, mutate: MutateBytes) -> bytes:
    """Replace, remove, repeat or exchange one value of a JSON file."""
    try:
        tree = json.loads(content)
        places = list(_places(tree))
    except (ValueError, RecursionError):
        return mutate(content, max_size)
    if not places or rng.random() < SHARE_OF_BYTES:
        return mutate(content, max_size)
    holder, key = rng.choice(places)
    how = rng.randrange(5)
    if how == 0:
        del holder[key]
    elif how == 1:
        other, name = rng.choice(places)
        holder[key] = json.loads(json.dumps(other[name]))
    elif how == 2 and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif how == 3 and isinstance(holder[key], str):
        text = mutate(holder[key].encode("utf-8", "surrogatepass"), 300)
        holder[key] = text.decode("utf-8", "replace")
    else:
        holder[key] = rng.choice(VALUES)
    return json.dumps(tree).encode()[:max_size]


def _places(tree: Any) -> Any:
    """Yield every container in a JSON tree with each of its keys or positions."""
    keys = (
        list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    )
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


def change_json_line(content: bytes, max_size: int, rng: Random, mutate: MutateBytes) -> bytes:
    """Change one line of a file that has JSON on every line."""
    lines = content.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] = change_json(lines[at], max_size, rng, mutate)
    return b"\n".join(lines)[:max_size]


def change_zip(content: bytes, max_size: int, rng: Random, mutate: MutateBytes) -> bytes:
    """Change one member of a zip file; its checksum is right again."""
    if rng.random() < SHARE_OF_BYTES:
        return mutate(content, max_size)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # damaged by an earlier change
        return mutate(content, max_size)
    if not members:
        return mutate(content, max_size)
    name = rng.choice(list(members))
    if rng.random() < 0.1:
        members[rng.choice(("images.npy", "labels.npy", "classes.npy", "x"))] = members.pop(name)
    else:
        members[name] = mutate(members[name], max_size)
    changed = io.BytesIO()
    with zipfile.ZipFile(
        changed, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    ) as new:
        for name, data in members.items():
            new.writestr(name, data)
    return changed.getvalue() if len(changed.getvalue()) <= max_size else content


def change_gzip(content: bytes, max_size: int, rng: Random, mutate: MutateBytes) -> bytes:
    """Change what a gzip file contains."""
    if rng.random() < SHARE_OF_BYTES:
        return mutate(content, max_size)
    try:
        inner = gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return mutate(content, max_size)
    return gzip.compress(mutate(inner, max_size), 1, mtime=0)[:max_size]


def change_png(content: bytes, max_size: int, rng: Random, mutate: MutateBytes) -> bytes:
    """Change bytes of a PNG file; the checksums of its chunks are right again."""
    changed = mutate(content, max_size)
    if rng.random() < SHARE_OF_BYTES or not changed.startswith(_PNG):
        return changed
    fixed, place = bytearray(changed), len(_PNG)
    while place + 12 <= len(fixed):
        end = place + 8 + int.from_bytes(fixed[place : place + 4])
        if end + 4 > len(fixed):
            break
        fixed[end : end + 4] = struct.pack(">I", zlib.crc32(fixed[place + 4 : end]))
        place = end + 4
    return bytes(fixed)
