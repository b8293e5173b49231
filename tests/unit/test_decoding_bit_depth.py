import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from stainproof.data.bit_depth import bits_used
from stainproof.data.decoding import decode
from stainproof.errors import DataError
from tests.common.image_files import write_png_16, write_tiff

OME_12_BITS = (
    '<?xml version="1.0"?><OME><Image><Pixels SignificantBits="12" SizeC="1"/></Image></OME>'
)


def values_of(bits: int, channels: int = 3, size: tuple[int, int] = (7, 9)) -> NDArray[np.uint16]:
    """uint16 (height, width[, channels]) with 0 and the largest value of so many bits."""
    shape = size if channels == 1 else (*size, channels)
    values = np.random.default_rng(0).integers(0, 1 << bits, shape).astype(np.uint16)
    values.flat[:2] = 0, (1 << bits) - 1
    return values


def as_rgb(values: NDArray[np.uint16], bits: int) -> NDArray[np.uint8]:
    reduced = (values >> (bits - 8)).astype(np.uint8)
    return reduced if values.ndim == 3 else np.repeat(reduced[..., None], 3, 2)


def note_of(bits: int) -> str:
    return "16-bit" if bits == 16 else f"16-bit file, {bits}-bit values"


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_files_are_scaled_by_the_bits_that_their_values_use(
    tmp_path: Path, suffix: str, channels: int, bits: int
) -> None:
    values = values_of(bits, channels)
    assert cv2.imwrite(str(tmp_path / f"a{suffix}"), values[..., ::-1] if channels > 1 else values)
    decoded = decode(tmp_path / f"a{suffix}", bits)
    assert np.array_equal(decoded.rgb, as_rgb(values, bits))
    assert decoded.notes == (note_of(bits), *(["grey"] if channels == 1 else []))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_tiff_of_either_byte_order_and_compression(
    tmp_path: Path, order: Any, deflate: bool, channels: int
) -> None:
    values = values_of(12, channels)
    path = write_tiff(tmp_path / "a.tif", values, order=order, deflate=deflate)
    assert np.array_equal(decode(path, 12).rgb, as_rgb(values, 12))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_value_of_more_bits_is_refused_and_named(
    tmp_path: Path, suffix: str, channels: int
) -> None:
    values = np.minimum(values_of(12, channels), 4000)
    values[3, 3] = 5000
    write = write_png_16 if suffix == ".png" else write_tiff
    path = write(tmp_path / f"a{suffix}", values)
    message = r"16-bit value 5000; allowed with 12 bits: 0 to 4095; raise source\.bits"
    with pytest.raises(DataError, match=message):
        decode(path, 12)


def test_8_bit_files_ignore_the_bits(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    for suffix in (".png", ".tif", ".bmp"):
        Image.fromarray(rgb).save(tmp_path / f"a{suffix}")
        decoded = decode(tmp_path / f"a{suffix}", 12)
        assert np.array_equal(decoded.rgb, rgb) and decoded.notes == ()


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("channels", [1, 3])
def test_orientation_is_that_of_8_bit_files(
    tmp_path: Path, channels: int, orientation: int
) -> None:
    values = values_of(12, channels)
    path = write_tiff(tmp_path / "deep.tif", values, tags={274: orientation})
    flat = (values >> 4).astype(np.uint8)
    expected = decode(write_tiff(tmp_path / "flat.tif", flat, tags={274: orientation}))
    decoded = decode(path, 12)
    assert np.array_equal(decoded.rgb, expected.rgb)
    assert decoded.notes == (note_of(12), *expected.notes)
    assert "turned by EXIF" in decoded.notes


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("opaque", ["of the values", "of 16 bits"])
def test_transparent_pixels_turn_white(
    tmp_path: Path, channels: int, bits: int, opaque: str
) -> None:
    values = values_of(bits, channels)
    values[..., -1] = (1 << bits) - 1 if opaque == "of the values" else 65535
    values[:3, :, -1] = 0
    decoded = decode(write_png_16(tmp_path / "a.png", values), bits)
    colours = as_rgb(values[..., :-1], bits) if channels == 4 else as_rgb(values[..., 0], bits)
    assert (decoded.rgb[:3] == 255).all()
    assert np.array_equal(decoded.rgb[3:], colours[3:])
    assert decoded.notes == (note_of(bits), "transparent")


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_transparent_colour_of_a_png_turns_white_where_all_16_bits_match(
    tmp_path: Path, channels: int, bits: int
) -> None:
    values = values_of(bits, channels)
    values[2, 3:5] = 1000
    values[2, 4] += 1
    key = struct.pack(f">{channels}H", *[1000] * channels)
    decoded = decode(write_png_16(tmp_path / "a.png", values, [(b"tRNS", key)]), bits)
    expected = as_rgb(values, bits)
    expected[2, 3] = 255
    assert np.array_equal(decoded.rgb, expected)


def test_cmyk_keeps_its_colours(tmp_path: Path) -> None:
    values = values_of(12, 4)
    deep = write_tiff(tmp_path / "deep.tif", values, tags={262: 5, 338: []})
    flat = write_tiff(tmp_path / "flat.tif", (values >> 4).astype(np.uint8), tags={262: 5, 338: []})
    assert np.array_equal(decode(deep, 12).rgb, decode(flat).rgb)


def test_premultiplied_alpha_is_read_with_16_bits_and_refused_with_fewer(tmp_path: Path) -> None:
    values = values_of(12, 4)
    path = write_tiff(tmp_path / "a.tif", values, tags={338: 1})
    assert decode(path).notes == ("16-bit", "transparent")
    with pytest.raises(DataError, match=r"premultiplied alpha .* allowed: separate alpha"):
        decode(path, 12)


@pytest.mark.parametrize("bits", [12, 16])
def test_grey_tiff_where_white_is_zero_is_inverted(tmp_path: Path, bits: int) -> None:
    values = values_of(bits, 1)
    path = write_tiff(tmp_path / "a.tif", values, tags={262: 0})
    assert np.array_equal(decode(path, bits).rgb, 255 - as_rgb(values, bits))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "stated",
    [{"tags": {281: 4095}}, {"description": OME_12_BITS}],
    ids=["MaxSampleValue", "SignificantBits"],
)
def test_what_a_tiff_file_states_wins(tmp_path: Path, stated: Any, channels: int) -> None:
    values = values_of(12, channels)
    path = write_tiff(tmp_path / "a.tif", values, **stated)
    for bits in (10, 12, 16):
        decoded = decode(path, bits)
        assert np.array_equal(decoded.rgb, as_rgb(values, 12))
        assert decoded.notes[0] == note_of(12)


@pytest.mark.parametrize("tags", [{281: 65535}, {281: 3210}, {281: 1}, {281: 0}])
def test_a_statement_that_is_a_default_or_a_statistic_is_ignored(tmp_path: Path, tags: Any) -> None:
    path = write_tiff(tmp_path / "a.tif", values_of(12), tags=tags)
    assert decode(path, 12).notes == (note_of(12),)
    assert decode(path).notes == ("16-bit",)


def test_a_value_above_what_the_file_states_is_refused(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", values_of(14), tags={281: 4095})
    with pytest.raises(DataError, match="0 to 4095; correct what the file states"):
        decode(path)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_what_a_png_file_states_wins(tmp_path: Path, channels: int) -> None:
    values = values_of(12, channels)
    numbers = bytes([12] * channels) if channels in (1, 3) else bytes([12] * (channels - 1) + [16])
    if channels in (2, 4):
        values[..., -1] = 4095
    path = write_png_16(tmp_path / "a.png", values, [(b"gAMA", b"\0\0\0\1"), (b"sBIT", numbers)])
    colours = {1: values, 2: values[..., 0]}.get(channels, values[..., :3])
    decoded = decode(path)
    assert np.array_equal(decoded.rgb, as_rgb(colours, 12))
    assert decoded.notes[0] == note_of(12)


def test_png_values_scaled_to_16_bits_as_the_standard_asks_keep_their_upper_8(
    tmp_path: Path,
) -> None:
    values = values_of(12)
    path = write_png_16(tmp_path / "a.png", values << 4 | values >> 8, [(b"sBIT", b"\x0c\x0c\x0c")])
    decoded = decode(path, 12)
    assert np.array_equal(decoded.rgb, as_rgb(values, 12))
    assert decoded.notes == ("16-bit",)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_truncated_16_bit_file_is_refused(
    tmp_path: Path, suffix: str, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / f"a{suffix}"), values_of(12, size=(50, 50)))
    content = (tmp_path / f"a{suffix}").read_bytes()
    (tmp_path / f"a{suffix}").write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match="damaged or cut short"):
        decode(tmp_path / f"a{suffix}", 12)
    assert capfd.readouterr() == ("", "")


def test_bmp_of_16_bits_a_pixel_is_not_a_file_of_16_bit_values(tmp_path: Path) -> None:
    pixels = np.full((4, 4), 0xF800, "<u2").tobytes()
    header = struct.pack("<IiiHHIIiiII", 40, 4, 4, 1, 16, 3, len(pixels), 0, 0, 0, 0)
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    start = 14 + len(header) + len(masks)
    file_header = b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start)
    (tmp_path / "a.bmp").write_bytes(file_header + header + masks + pixels)
    decoded = decode(tmp_path / "a.bmp", 12)
    assert decoded.notes == ()
    assert (decoded.rgb == [255, 0, 0]).all()


@pytest.mark.parametrize(
    ("highest", "bits"),
    [(128, 8), (255, 8), (512, 10), (1023, 10), (2048, 12), (3900, 12), (8192, 14), (16383, 14),
     (32768, 16), (65535, 16)],
)  # fmt: skip
def test_the_bits_of_a_set_follow_from_its_largest_value(
    tmp_path: Path, highest: int, bits: int
) -> None:
    dark = write_tiff(tmp_path / "dark.tif", np.full((4, 4), 7, np.uint16))
    values = np.zeros((4, 4, 3), np.uint16)
    values[1, 2, 0] = highest
    assert bits_used([dark, write_png_16(tmp_path / "a.png", values)]) == bits


@pytest.mark.parametrize(
    ("highest", "which"),
    [(0, "fewer than 8 bits"), (127, "fewer than 8 bits"), (256, "neither 8 nor 10 bits"),
     (2047, "neither 10 nor 12 bits"), (5000, "neither 12 nor 14 bits"),
     (20000, "neither 14 nor 16 bits")],
)  # fmt: skip
def test_a_largest_value_between_two_ranges_is_refused(
    tmp_path: Path, highest: int, which: str
) -> None:
    path = write_tiff(tmp_path / "a.tif", np.full((4, 4), highest, np.uint16))
    message = rf"^16-bit values reach {highest}, which is {which}; state --bits$"
    with pytest.raises(DataError, match=message):
        bits_used([path])


def test_the_bits_of_a_set_ignore_alpha_8_bit_stating_and_unreadable_files(tmp_path: Path) -> None:
    translucent = values_of(12, 4)
    translucent[..., -1] = 65535
    Image.fromarray(np.full((4, 4, 3), 255, np.uint8)).save(tmp_path / "flat.png")
    (tmp_path / "text.png").write_bytes(b"hello")
    others = [
        tmp_path / "flat.png",
        tmp_path / "text.png",
        tmp_path / "missing.tif",
        tmp_path / "not_opened.jpg",
        write_tiff(tmp_path / "float.tif", np.ones((4, 4), np.float32)),
        write_tiff(tmp_path / "stating.tif", values_of(14), tags={281: 16383}),
    ]
    assert bits_used(others) == 16
    assert bits_used([]) == 16
    assert bits_used([*others, write_png_16(tmp_path / "a.png", translucent)]) == 12


def test_the_bits_of_a_set_come_from_64_files_spread_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stainproof.data import bit_depth

    opened: list[str] = []
    monkeypatch.setattr(bit_depth, "_highest", lambda path: opened.append(path.stem))
    bits_used([Path(f"{i}.jpg") for i in range(1000)])
    assert opened == []
    for number in (1, 63, 64, 65, 100, 1000):
        opened.clear()
        bits_used([Path(f"{i}.tif") for i in range(number)])
        assert min(number, 64) // 2 <= len(opened) <= 64
        assert number - int(opened[-1]) <= number / len(opened) + 1
