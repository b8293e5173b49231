"""Files that no reader expects: sound ones of every kind, and ways to make them hostile."""

import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from PIL import Image

Rng = np.random.Generator
CLASSES = ("basophil", "platelet", "monocyte")
STRANGE = ("=1+1", "-x", "@a", "'=b", "\tc", "\r", "a\nb", "\x1b[31m", "\u202egnp", "a" * 255, "",
           '"', "a,b", "\0", "\ufeff", "../../x", "C:\\x", "/dev/zero", "1e999", "nan")  # fmt: skip
"""Texts that names, classes and cells should not be."""


def image(rng: Rng, kind: str) -> bytes:
    """Return an image file of random pixels: `JPEG`, `PNG`, `BMP`, `TIFF` or `WEBP`."""
    mode = str(rng.choice(["RGB", "RGB", "L", "1"] + ["P", "LA", "I;16"] * (kind == "PNG")))
    pixels = rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    if mode == "I;16":
        picture = Image.fromarray(rng.integers(0, 4096, (16, 24), dtype=np.uint16))
    elif mode != "RGB":
        picture = picture.convert(mode)
    content = io.BytesIO()
    options: dict[str, Any] = {}
    if kind == "TIFF":
        options["compression"] = str(rng.choice(["raw", "tiff_lzw", "tiff_adobe_deflate"]))
    picture.save(content, kind, **options)
    return content.getvalue()


def npz(rng: Rng) -> bytes:
    """Return an npz file in the layout of the contest or of MedMNIST."""
    images = rng.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    arrays: dict[str, Any] = {"classes": np.array(CLASSES)}
    prefixes = [""] if rng.random() < 0.5 else ["train_", "val_", "test_"]
    for prefix in prefixes:
        arrays |= {f"{prefix}images": images, f"{prefix}labels": np.arange(6) % 3}
    content = io.BytesIO()
    (np.savez if rng.random() < 0.5 else np.savez_compressed)(content, **arrays)
    return content.getvalue()


def npz_of_tricks(rng: Rng) -> bytes:
    """Return a zip file whose arrays lie about their size or type."""
    lying = {
        "long header": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b" " * 10**6,
        "huge": _npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({2**33}, 8, 8, 3)}}"),
        "negative": _npy("{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 8, 8, 3)}"),
        "objects": _npy("{'descr': '|O', 'fortran_order': False, 'shape': (6, 8, 8, 3)}"),
        "nothing": _npy("{'descr': '|V0', 'fortran_order': False, 'shape': (9999999999,)}"),
        "truth": _npy("{'descr': '|u1', 'fortran_order': False, 'shape': (True, 8, 8, 3)}"),
        "nested": _npy("{'descr': " + "(" * 3000 + ", 'shape': 1}"),
        "fields": _npy("{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (1,)}"),
        "text": b"no array",
        "empty": b"",
    }
    with zipfile.ZipFile(io.BytesIO(npz(rng))) as sound:
        members = {name: sound.read(name) for name in sound.namelist()}
    victim = str(rng.choice(list(members)))
    members[victim] = lying[str(rng.choice(list(lying)))]
    if rng.random() < 0.3:
        members["unneeded.npy"] = bytes(5_000_000)
    content = io.BytesIO()
    method = int(rng.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
    with zipfile.ZipFile(content, "w", method, compresslevel=1) as archive:
        for name, data in members.items():
            archive.writestr(f"../{name}" if rng.random() < 0.05 else name, data)
    return content.getvalue()


def _npy(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header.encode() + b"\n"


def csv_table(rng: Rng) -> bytes:
    """Return a manifest; some have strange columns and cells."""
    delimiter = str(rng.choice(list(",;\t")))
    columns = ["path", "label", "patient", str(rng.choice(["split", "split", "x", "=a", "label"]))]
    splits = ("train", "val", "9")[: 2 if rng.random() < 0.7 else 3]
    rows = [[f"{n}.png", CLASSES[n % 3], f"P{n}", splits[n % len(splits)]] for n in range(8)]
    for _ in range(int(rng.integers(0, 3))):
        row = rows[int(rng.integers(8))]
        row[int(rng.integers(4))] = str(rng.choice(STRANGE))
    trick = rng.random()
    if trick < 0.05:
        columns += [f"c{n}" for n in range(int(rng.choice([999, 2000, 100_000])))]
    elif trick < 0.1:
        rows[3][2] = "x" * int(rng.choice([5000, 2_000_000]))
    elif trick < 0.15:
        rows *= 20_000
    elif trick < 0.2:
        columns, rows = ["path", "a", "b"], [[f"{n}", f"{n % 2}", "1"] for n in range(8)]
    text = "\n".join(delimiter.join(row) for row in (columns, *rows))
    return text.encode(str(rng.choice(["utf-8", "utf-8-sig", "utf-16"], p=[0.8, 0.1, 0.1])))


def parquet_table(rng: Rng) -> bytes:
    """Return a manifest as Parquet; some have unusual types or far too many rows."""
    num = 8
    texts = pyarrow.array([f"{n}.png" for n in range(num)])
    labels = pyarrow.array([CLASSES[n % 3] for n in range(num)])
    numbers = pyarrow.array(range(num))
    further = [
        numbers,
        labels.dictionary_encode(),
        pyarrow.array([None] * num),
        pyarrow.array([[1, 2]] * num),
        pyarrow.array([{"bytes": b"\xff", "path": "x"}] * num),
        pyarrow.array([b"\xff"] * num),
        pyarrow.array([n % 2 == 0 for n in range(num)]),
        pyarrow.array([str(rng.choice(STRANGE)) for _ in range(num)]),
        numbers.cast(pyarrow.timestamp("s")),
    ]
    columns = [texts, labels, further[int(rng.integers(2))], further[int(rng.integers(9))]]
    names = ["path", "label", "patient", str(rng.choice(["split", "label", "x", "y", "z"]))]
    if rng.random() < 0.2:
        at = int(rng.integers(2))
        columns[at] = further[int(rng.integers(9))]
    trick = rng.random()
    if trick < 0.05:
        place = pyarrow.array(np.zeros(6_000_000, np.int32))
        one = pyarrow.DictionaryArray.from_arrays(place, pyarrow.array(["a"]))
        columns, names = [one, one], ["path", "label"]
    elif trick < 0.1:
        columns[0] = pyarrow.array(["x" * 10_000_000, *["y"] * (num - 1)])
    content = io.BytesIO()
    table = pyarrow.Table.from_arrays(columns, names)
    codec = str(rng.choice(["snappy", "zstd", "none", "gzip"]))
    pyarrow.parquet.write_table(table, content, compression=codec)
    return content.getvalue()


def toml(rng: Rng) -> bytes:
    """Return a class map or settings as TOML; some are nested far too deeply."""
    texts = [
        'ignore = ["artefact"]\n[classes]\nneutrophil = ["segmented", "band"]\n',
        "seed = 3\n[training]\nepochs = 2\n",
        f"min_images = {'[' * int(rng.choice([10, 5000]))}",
        f"{'.'.join(['a'] * int(rng.choice([20, 5000])))} = 1",
        f"[{'.'.join(['a'] * int(rng.choice([20, 5000])))}]",
        f"x = '{'y' * 300_000}'",
        f"[classes]\nb = {[str(rng.choice(STRANGE)).encode('unicode_escape').decode()]}\n",
        f"seed = {rng.choice(['1e999', '-1', '0x', 'nan', '1979-05-27', '9' * 5000])}",
    ]
    return texts[int(rng.integers(len(texts)))].encode()


def audit_table(rng: Rng) -> bytes:
    """Return a table of findings; some cells are strange."""
    row = ["a/1.png", "outlier", "", "0.5", "0.4", "review", "basophil"]
    rows = [["file", "kind", "group", "score", "threshold", "action", "new_label"]]
    for _ in range(5):
        changed = list(row)
        if rng.random() < 0.2:
            changed[int(rng.integers(7))] = str(rng.choice(STRANGE))
        rows.append(changed[: 7 if rng.random() < 0.9 else int(rng.integers(7))])
    return "\n".join(map(",".join, rows)).encode()


def layout(rng: Rng) -> bytes:
    """Return a pattern of path components."""
    tokens = ["*", "**", "?", "a", "/", "{label}", "{group}", "{split}", "{", "}", "\\", "(a+)+"]
    num = int(rng.choice([3, 6, 60, 20_000], p=[0.4, 0.4, 0.15, 0.05]))
    text = "".join(map(str, rng.choice(tokens, num)))
    return (f"{{label}}/{text}" if rng.random() < 0.5 else text).encode()


MAKERS: dict[str, Callable[[Rng], bytes]] = {
    ".jpg": lambda rng: image(rng, "JPEG"),
    ".png": lambda rng: image(rng, "PNG"),
    ".bmp": lambda rng: image(rng, "BMP"),
    ".tif": lambda rng: image(rng, "TIFF"),
    ".webp": lambda rng: image(rng, "WEBP"),
    ".npz": lambda rng: npz(rng) if rng.random() < 0.7 else npz_of_tricks(rng),
    ".csv": csv_table,
    ".parquet": parquet_table,
    ".toml": toml,
    ".audit": audit_table,
    ".layout": layout,
}
"""Suffix -> maker of a file. `.audit` is a table of findings, `.layout` the text of a layout."""


def mutate(content: bytes, rng: Rng) -> bytes:
    """Return the content after one to three random changes of its bytes."""
    for _ in range(int(rng.integers(1, 4))):
        content = _change(bytearray(content), rng)
    return content


def _change(content: bytearray, rng: Rng) -> bytes:
    length = len(content)
    start, end = sorted(rng.integers(0, length + 1, 2).tolist())
    end = min(end, start + 64)
    how = int(rng.integers(8))
    if how == 0:
        for place in rng.integers(0, max(length, 1), int(rng.integers(1, 20))).tolist():
            if place < length:
                content[place] ^= 1 << int(rng.integers(8))
    elif how == 1:
        del content[start:]
    elif how == 2:
        content[start:start] = rng.bytes(int(rng.integers(1, 64)))
    elif how == 3:
        content[start:end] = bytes(end - start)
    elif how == 4:
        del content[start:end]
    elif how == 5:
        content[start:end] = content[start:end] * 3
    elif how == 6:
        other = MAKERS[str(rng.choice(list(MAKERS)))](rng)
        content[: min(32, length)] = other[:32]
    else:
        content[start : start + 4] = bytes([255] * 4)
    return bytes(content)


def write_hostile(folder: Path, number: int, seed: int) -> tuple[Path, str]:
    """Write the hostile file of a number; return the file and what was done."""
    rng = np.random.default_rng([seed, number])
    suffixes = list(MAKERS)
    suffix = suffixes[number % len(suffixes)]
    path = folder / f"{number:06d}{suffix}"
    how = rng.random()
    if how < 0.02:
        return _write_special(path, rng)
    content, what = hostile_content(suffix, how, rng)
    path.write_bytes(content)
    return path, what


def hostile_content(suffix: str, how: float, rng: Rng) -> tuple[bytes, str]:
    """Return the content of a hostile file and what was done.

    Args:
        suffix: The kind of file, one of `MAKERS`.
        how: Chooses what is done, 0 to 1.
        rng: Random generator.
    """
    if how < 0.1:
        other = str(rng.choice(list(MAKERS)))
        return MAKERS[other](rng), f"content of {other}"
    content = MAKERS[suffix](rng)
    return (content, "made") if how < 0.4 else (mutate(content, rng), "bytes changed")


def _write_special(path: Path, rng: Rng) -> tuple[Path, str]:
    how = str(rng.choice(["pipe", "device", "folder", "broken link", "name"]))
    if how == "pipe":
        os.mkfifo(path)
    elif how == "device":
        path.symlink_to("/dev/zero")
    elif how == "folder":
        path.mkdir()
    elif how == "broken link":
        path.symlink_to("nothing")
    else:
        path = path.with_name(os.fsdecode(b"\xff\n\x1b[2J") + path.name)
        path.write_bytes(rng.bytes(100))
    return path, how
