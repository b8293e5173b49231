"""Uploads are checked before Pillow sees them."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from stainproof.errors import DataError
from stainproof.serve.settings import Limits
from stainproof.serve.uploads import decode_bytes

MIB = 2**20


def jpeg(**options: object) -> bytes:
    content = io.BytesIO()
    rgb = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(content, "JPEG", **options)
    return content.getvalue()


@pytest.mark.parametrize(
    "junk",
    [b"x" * 30 * MIB, b"\xff" * 30 * MIB, b"\xff\xd0" * 15 * MIB, b"\xff\xe1\0\x02" * 7 * MIB],
    ids=["text", "padding", "markers", "empty segments"],
)
def test_megabytes_in_a_jpeg_header_are_refused_at_once(junk: bytes) -> None:
    sound = jpeg()
    began = time.process_time()
    with pytest.raises(DataError, match="no sequence of segments"):
        decode_bytes(sound[:2] + b"\xff\xe0\0\x10" + sound[6:20] + junk + sound[20:], Limits())
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"exif": b"Exif\0\0" + bytes(60_000)},
     {"icc_profile": bytes(300_000)}, {"comment": b"c" * 1000}],
)  # fmt: skip
def test_sound_jpeg_files_are_read(options: dict[str, object]) -> None:
    assert decode_bytes(jpeg(**options), Limits()).shape == (40, 60, 3)
    junk = jpeg(**options)
    assert decode_bytes(junk[:20] + b"junk" * 100 + junk[20:], Limits()).shape == (40, 60, 3)
