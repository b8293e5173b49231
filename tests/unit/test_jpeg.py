"""JPEG headers: megabytes outside of segments are refused at once, sound files are read."""

import io
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from stainproof.data import jpeg
from stainproof.data.decoding import decode
from stainproof.data.description import look
from stainproof.errors import DataError
from stainproof.files import open_regular

MIB = 2**20
AFTER_JFIF = 20
RGB = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def content_of(**options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, options.pop("format", "JPEG"), **options)
    return file.getvalue()


def with_header(path: Path, header: bytes, sound: bytes = content_of()) -> Path:
    """Write a JPEG file with bytes between its first segment and the others."""
    path.write_bytes(sound[:AFTER_JFIF] + header + sound[AFTER_JFIF:])
    return path


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2) + content


JUNK = {
    "text": b"x" * 30 * MIB,
    "padding": b"\xff" * 30 * MIB,
    "zeros": bytes(30 * MIB),
    "markers": b"\xff\xd0" * 15 * MIB,
    "escaped": b"\xff\0" * 15 * MIB,
    "escaped after text": b"x\xff\0" * 10 * MIB,
    "empty segments": segment(0xE1, b"") * 7 * MIB,
    "segments of length 0": b"\xff\xe1\0\0" * 7 * MIB,
    "behind lengths that a reserved marker has not": (segment(0xF0, b"x" * 65_000)) * 450,
    "after a segment": segment(0xE1, bytes(65_533)) + b"x" * 30 * MIB,
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_megabytes_in_a_header_are_refused_at_once_and_by_name(tmp_path: Path, junk: bytes) -> None:
    path = with_header(tmp_path / "cell.jpg", junk)
    began = time.process_time()
    with pytest.raises(DataError, match=r"cell\.jpg: damaged; allowed: 64 KiB outside of the segm"):
        decode(path)
    assert time.process_time() - began < 1


def test_look_does_not_search_such_a_header_for_the_size(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for name in ("a/1.jpg", "a/2.jpg", "b/3.jpg"):
        with_header(tmp_path / name, b"x" * 30 * MIB)
    (tmp_path / "b" / "4.jpg").write_bytes(content_of())
    began = time.process_time()
    assert look(tmp_path).sizes == {"60 x 40": 1}
    assert time.process_time() - began < 2


def test_no_marker_hides_bytes_that_pillow_steps_through(tmp_path: Path) -> None:
    for marker in (one & 0xFF for one in JpegImagePlugin.MARKER if one != 0xFFDA):
        content = segment(marker, b"x" * 60_000) * 2
        with open_regular(with_header(tmp_path / "cell.jpg", content)) as file:
            expected = JpegImagePlugin.MARKER[0xFF00 + marker][2] is None
            assert jpeg.has_junk(file) == expected, f"{marker:x}"


THUMBNAIL = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + content_of()
SOUND: dict[str, bytes] = {
    "plain": b"",
    "padding before a marker": b"\xff" * 1000,
    "60 KB of padding": b"\xff" * 60_000,
    "some junk": b"junk" * 100,
    "a large APP segment": segment(0xEB, b"x" * 65_533),
    "ten megabytes in APP segments": segment(0xED, bytes(65_533)) * 160,
    "APP segments full of 0xff": segment(0xE5, b"\xff" * 65_533) * 160,
    "an EXIF block with a thumbnail": segment(0xE1, THUMBNAIL),
    "several comments": segment(0xFE, b"c" * 1000) * 1000,
    "restart interval": segment(0xDD, b"\0\0"),
}


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"icc_profile": bytes(300_000)}])
@pytest.mark.parametrize("header", SOUND.values(), ids=SOUND)
def test_sound_headers_are_read(tmp_path: Path, header: bytes, options: dict[str, Any]) -> None:
    sound = content_of(**options)
    plain = decode(with_header(tmp_path / "plain.jpg", b"", sound)).rgb
    assert plain.shape == RGB.shape
    assert np.array_equal(decode(with_header(tmp_path / "c.jpg", header, sound)).rgb, plain)


def test_a_picture_of_several_frames_is_read(tmp_path: Path) -> None:
    frame = Image.fromarray(RGB)
    frame.save(tmp_path / "cell.jpg", "MPO", save_all=True, append_images=[frame])
    assert decode(tmp_path / "cell.jpg").rgb.shape == RGB.shape


def test_other_formats_are_left_to_their_decoders(tmp_path: Path) -> None:
    for name in ("png", "bmp", "tiff", "webp"):
        path = tmp_path / f"cell.{name}"
        path.write_bytes(content_of(format=name.upper()) + bytes(MIB))
        with open_regular(path) as file:
            assert not jpeg.has_junk(file)
            assert file.tell() == 3
    os.truncate(path, 0)
    with open_regular(path) as file:
        assert not jpeg.has_junk(file)
