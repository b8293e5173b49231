"""Chunks of PNG files: hundreds of thousands are refused at once, sound files are read."""

import io
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stainproof.data import png
from stainproof.data.decoding import decode
from stainproof.errors import DataError

RGB = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
AFTER_HEADER, LAST = 33, -12


def content() -> bytes:
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "PNG")
    return file.getvalue()


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("kind", [b"abCd", b"IDAT"])
@pytest.mark.parametrize("place", [AFTER_HEADER, LAST])
def test_hundreds_of_thousands_of_chunks_are_refused_at_once(
    tmp_path: Path, place: int, kind: bytes
) -> None:
    sound, path = content(), tmp_path / "cell.png"
    path.write_bytes(sound[:place] + chunk(kind) * 500_000 + sound[place:])
    began = time.process_time()
    with pytest.raises(DataError, match=r"cell\.png: damaged; allowed: 10,000 chunks of under 1 K"):
        decode(path)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    "chunks",
    [b"", chunk(b"tEXt", b"a\0b") * 9000, chunk(b"abCd", bytes(1024)) * 20_000],
    ids=["none", "thousands of texts", "many larger ones"],
)
def test_sound_files_are_read(tmp_path: Path, chunks: bytes) -> None:
    sound, path = content(), tmp_path / "cell.png"
    path.write_bytes(sound[:AFTER_HEADER] + chunks + sound[AFTER_HEADER:])
    assert np.array_equal(decode(path).rgb, RGB)


def test_what_follows_the_end_of_a_file_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "cell.png"
    path.write_bytes(content() + bytes(2**17))
    assert np.array_equal(decode(path).rgb, RGB)


def test_other_files_are_left_to_their_decoders() -> None:
    for found in (b"", b"\xff\xd8\xff", content()[:20]):
        assert not png.has_many_small_chunks(io.BytesIO(found))
