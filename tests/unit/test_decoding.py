import os
import socket
import struct
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from stainproof.data.decoding import SUFFIXES, UNREAD_SUFFIXES, decode, is_image, is_unread_image
from stainproof.errors import DataError

ORIENTATION = 0x0112


def picture(height: int = 24, width: int = 30, seed: Any = 0) -> NDArray[np.uint8]:
    """A smooth picture, so that lossy formats stay near it."""
    y, x = np.mgrid[:height, :width]
    base = np.random.default_rng(seed).integers(40, 80, 3)
    return np.stack([base[0] + 3 * x, base[1] + 4 * y, base[2] + x + y], 2).astype(np.uint8)


def save(path: Path, pixels: Any, **options: Any) -> Path:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


def png_of_header(path: Path, width: int, height: int) -> Path:
    def chunk(kind: Any, content: Any) -> Any:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff"])
def test_lossless_files_give_the_exact_pixels_and_no_notes(tmp_path: Path, suffix: str) -> None:
    rgb = picture()
    decoded = decode(save(tmp_path / f"cell{suffix}", rgb))
    assert np.array_equal(decoded.rgb, rgb)
    assert decoded.rgb.dtype == np.uint8
    assert decoded.notes == ()


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_files_give_nearly_the_pixels_and_no_notes(tmp_path: Path, suffix: str) -> None:
    rgb = picture()
    decoded = decode(save(tmp_path / f"cell{suffix}", rgb, quality=95))
    assert np.abs(decoded.rgb.astype(int) - rgb).mean() < 4
    assert decoded.notes == ()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("size", [(16, 16), (20, 160), (116, 40)])
def test_a_plain_8_bit_file_of_any_size_has_no_notes(
    tmp_path: Path, suffix: str, size: tuple[int, int]
) -> None:
    assert decode(save(tmp_path / f"cell{suffix}", picture(*size))).notes == ()


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda a: np.rot90(a, 1)),
    ],
)
def test_exif_orientation_is_applied_and_noted(
    tmp_path: Path, orientation: int, undo: Callable[..., Any]
) -> None:
    stored = picture()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    decoded = decode(save(tmp_path / "cell.png", stored, exif=exif))
    assert np.array_equal(decoded.rgb, undo(stored))
    assert decoded.notes == ("turned by EXIF",)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_grey_images_keep_the_upper_8_bits(tmp_path: Path, suffix: str) -> None:
    grey = np.arange(720, dtype=np.uint16).reshape(24, 30) * 91
    decoded = decode(save(tmp_path / f"cell{suffix}", grey))
    assert np.array_equal(decoded.rgb, np.repeat((grey >> 8).astype(np.uint8)[..., None], 3, 2))
    assert set(decoded.notes) == {"16-bit", "grey"}


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_rgb_images_keep_the_upper_8_bits(tmp_path: Path, suffix: str) -> None:
    rgb = np.random.default_rng(0).integers(0, 2**16, (24, 30, 3), dtype=np.uint16)
    assert cv2.imwrite(str(tmp_path / f"cell{suffix}"), rgb[..., ::-1])
    decoded = decode(tmp_path / f"cell{suffix}")
    assert np.array_equal(decoded.rgb, (rgb >> 8).astype(np.uint8))
    assert decoded.notes == ("16-bit",)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_grey_becomes_three_equal_channels(tmp_path: Path, suffix: str) -> None:
    grey = picture()[:, :, 0]
    decoded = decode(save(tmp_path / f"cell{suffix}", grey))
    assert np.array_equal(decoded.rgb, np.repeat(grey[..., None], 3, 2))
    assert decoded.notes == ("grey",)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_turn_white_and_opaque_ones_stay(tmp_path: Path, mode: str) -> None:
    rgb = picture()
    image = Image.fromarray(rgb).convert(mode)
    opaque = np.array(image.convert("RGB"))
    alpha = np.full(rgb.shape[:2], 255, np.uint8)
    alpha[:12], alpha[12] = 0, 128
    image.putalpha(Image.fromarray(alpha))
    decoded = decode(save(tmp_path / "cell.png", image))
    assert (decoded.rgb[:12] == 255).all()
    assert np.abs(decoded.rgb[12] - (opaque[12] / 2 + 127.5)).max() < 2
    assert np.array_equal(decoded.rgb[13:], opaque[13:])
    assert "transparent" in decoded.notes


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_a_palette_gives_its_colours_and_is_neither_grey_nor_16_bit(
    tmp_path: Path, suffix: str
) -> None:
    image = Image.fromarray(picture()).quantize(32)
    decoded = decode(save(tmp_path / f"cell{suffix}", image))
    assert np.array_equal(decoded.rgb, np.array(image.convert("RGB")))
    assert not {"grey", "16-bit"} & set(decoded.notes)


def test_the_transparent_colour_of_a_palette_turns_white(tmp_path: Path) -> None:
    image = Image.fromarray(picture()).quantize(4)
    decoded = decode(save(tmp_path / "cell.png", image, transparency=0))
    assert (decoded.rgb[np.array(image) == 0] == 255).all()
    assert "transparent" in decoded.notes


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_becomes_rgb_and_is_noted(tmp_path: Path, suffix: str) -> None:
    rgb = picture()
    cmyk = Image.fromarray(rgb).convert("CMYK")
    decoded = decode(save(tmp_path / f"cell{suffix}", cmyk))
    assert np.abs(decoded.rgb.astype(int) - rgb).mean() < 6
    assert decoded.notes == ("CMYK",)


def test_lab_colours_are_not_called_grey(tmp_path: Path) -> None:
    lab = Image.fromarray(picture()).convert("RGB")
    lab = Image.merge("LAB", lab.split())
    assert decode(save(tmp_path / "cell.tif", lab)).notes == ("LAB",)


@pytest.mark.parametrize("suffix", [".tif", ".webp", ".png"])
def test_the_first_of_several_frames_is_read(tmp_path: Path, suffix: str) -> None:
    first, second = np.full((20, 20, 3), 60, np.uint8), np.full((20, 20, 3), 200, np.uint8)
    path = save(
        tmp_path / f"cell{suffix}", first, save_all=True, append_images=[Image.fromarray(second)]
    )
    decoded = decode(path)
    assert np.abs(decoded.rgb.astype(int) - 60).max() < 8
    assert decoded.notes == ("several frames",)


@pytest.mark.parametrize(
    ("name", "content"), [("cell.jpg", b"hello, I am a text"), ("e.png", b""), ("g.jpg", b"GIF89a")]
)
def test_what_is_no_image_is_refused_whatever_its_name(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}: not an image; allowed: JPEG, PNG"):
        decode(tmp_path / name)


def test_gif_is_not_read_even_under_another_name(tmp_path: Path) -> None:
    save(tmp_path / "cell.png", picture(), format="GIF")
    with pytest.raises(DataError, match="not an image"):
        decode(tmp_path / "cell.png")


def test_a_missing_file_is_called_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png: no such file"):
        decode(tmp_path / "gone.png")


@pytest.mark.parametrize(
    ("name", "make", "kind"),
    [
        ("pipe.png", os.mkfifo, "a named pipe"),
        ("folder.png", os.mkdir, "a folder"),
        ("socket.png", lambda name: socket.socket(socket.AF_UNIX).bind(name), "a socket"),
        ("device.png", lambda name: Path(name).symlink_to("/dev/zero"), "a device"),
    ],
)
def test_what_is_no_regular_file_is_refused_at_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    make: Callable[[str], Any],
    kind: str,
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket may have 107 bytes
    make(name)
    with pytest.raises(DataError, match=rf"^{name}: {kind}; allowed: regular files$"):
        decode(Path(name))


def test_a_file_over_1_gib_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = save(tmp_path / "large.bmp", picture())
    os.truncate(path, 2**30)
    assert decode(path).rgb.shape == (24, 30, 3)
    os.truncate(path, 2**30 + 2**29)
    message = r"large\.bmp: refused before reading; allowed: 1 GiB, got 1\.5 GiB"
    with pytest.raises(DataError, match=message):
        decode(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission_is_not_called_damaged(tmp_path: Path) -> None:
    path = save(tmp_path / "cell.png", picture())
    path.chmod(0)
    with pytest.raises(DataError, match=r"cell\.png: Permission denied"):
        decode(path)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif"])
def test_a_truncated_file_is_refused_without_a_warning(
    tmp_path: Path, suffix: str, share: float
) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    whole = save(tmp_path / f"whole{suffix}", rgb).read_bytes()
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole[: int(share * len(whole))])
    with warnings.catch_warnings(record=True) as said, pytest.raises(DataError, match="cut"):
        warnings.simplefilter("always")
        decode(cut)
    assert not said


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_a_damaged_exif_block_is_ignored_without_a_warning(tmp_path: Path, suffix: str) -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x09\0\x12\x01\x03\0"
    path = save(tmp_path / f"cell{suffix}", picture(), exif=exif)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert decode(path).rgb.shape == (24, 30, 3)
    assert [str(warning.message) for warning in said] == []


@pytest.mark.parametrize("size", [(30_000, 30_000), (12_000, 10_000), (8_001, 8_000)])
def test_a_header_of_too_many_pixels_is_refused_at_once_and_in_one_line(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    path = png_of_header(tmp_path / "huge.png", *size)
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as said, pytest.raises(DataError) as refusal:
        warnings.simplefilter("always")
        decode(path)
    assert time.perf_counter() - began < 0.5
    assert "huge.png" in str(refusal.value)
    assert "64 megapixels" in str(refusal.value)
    assert not said


@settings(max_examples=150, deadline=None)
@given(
    suffix=st.sampled_from(["jpeg", "png", "bmp", "tiff", "webp"]),
    damage=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6
    ),
)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
def test_damaged_bytes_give_an_image_or_a_data_error_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, suffix: Any, damage: Any
) -> None:
    path = save(tmp_path_factory.mktemp("damaged") / f"cell.{suffix}", picture())
    content = bytearray(path.read_bytes())
    for place, value in damage:
        content[int(place * len(content))] = value
    path.write_bytes(content)
    try:
        rgb = decode(path).rgb
    except DataError:
        return
    assert rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.JPG", True), ("a.tiff", True), ("a.webp", True), ("a.jfif", True), ("a.JPE", True),
     (".a.png", False), ("a.gif", False), ("a.txt", False), ("png", False)],
)  # fmt: skip
def test_names_of_images(tmp_path: Path, name: str, expected: bool) -> None:
    assert is_image(tmp_path / name) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.gif", True), ("a.HEIC", True), ("a.svs", True), ("a.dcm", True), ("a.NEF", True),
     (".a.gif", False), ("a.png", False), ("a.webm", False), ("a.txt", False), ("gif", False)],
)  # fmt: skip
def test_names_of_images_that_are_not_read(tmp_path: Path, name: str, expected: bool) -> None:
    assert is_unread_image(tmp_path / name) is expected
    assert not SUFFIXES & UNREAD_SUFFIXES


@pytest.mark.parametrize("suffix", [".jfif", ".jpe"])
def test_other_suffixes_of_jpeg_files_are_read(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"cell{suffix}", picture(), format="JPEG")
    assert decode(path).notes == ()
