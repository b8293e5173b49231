from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from stainproof.data.bit_depth import bits_used
from stainproof.data.decoding import decode
from stainproof.errors import DataError
from tests.common.image_files import write_tiff

OME = '<?xml version="1.0"?><OME><Image><Pixels SizeC="{}" SizeZ="{}" {}/></Image></OME>'
IMAGEJ = "ImageJ=1.53t\nimages={}\nchannels={}\nmode=composite\n"


def random(channels: int = 3, dtype: Any = np.uint8, seed: int = 0) -> NDArray[Any]:
    shape = (7, 9) if channels == 1 else (7, 9, channels)
    info = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(info.min, info.max, shape).astype(dtype)


def planes(rgb: NDArray[Any]) -> list[NDArray[Any]]:
    return [rgb[..., i] for i in range(rgb.shape[2])]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("description", [OME.format(3, 1, ""), IMAGEJ.format(3, 3)])
def test_three_pages_that_are_channels_are_joined(
    tmp_path: Path, description: str, deflate: bool, order: Any
) -> None:
    rgb = random()
    path = write_tiff(
        tmp_path / "a.tif", *planes(rgb), description=description, deflate=deflate, order=order
    )
    decoded = decode(path)
    assert np.array_equal(decoded.rgb, rgb)
    assert decoded.notes == ("channels joined from 3 pages",)


def test_joined_channels_of_12_bits(tmp_path: Path) -> None:
    rgb = random(3, np.uint16) >> 4
    path = write_tiff(tmp_path / "a.tif", *planes(rgb), description=IMAGEJ.format(3, 3))
    decoded = decode(path, 12)
    assert np.array_equal(decoded.rgb, rgb >> 4)
    assert decoded.notes == ("16-bit file, 12-bit values", "channels joined from 3 pages")
    rgb[..., :2] = 0
    rgb[0, 0, 2] = 3000
    path = write_tiff(tmp_path / "b.tif", *planes(rgb), description=IMAGEJ.format(3, 3))
    assert bits_used([path]) == 12


def test_what_ome_states_on_the_first_page_holds_for_all_joined_pages(tmp_path: Path) -> None:
    rgb = random(3, np.uint16) >> 4
    stating = OME.format(3, 1, 'SignificantBits="12"')
    path = write_tiff(tmp_path / "a.tif", *planes(rgb), description=stating)
    assert np.array_equal(decode(path).rgb, rgb >> 4)


def test_the_orientation_of_joined_pages_is_applied(tmp_path: Path) -> None:
    rgb = random()
    path = write_tiff(
        tmp_path / "a.tif", *planes(rgb), description=IMAGEJ.format(3, 3), tags={274: 6}
    )
    decoded = decode(path)
    assert np.array_equal(decoded.rgb, np.rot90(rgb, -1))
    assert decoded.notes == ("channels joined from 3 pages", "turned by EXIF")


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_orientation_of_tiff_files(
    tmp_path: Path, dtype: Any, channels: int, deflate: bool
) -> None:
    pixels = random(channels, dtype)
    if channels == 4:
        pixels[..., 3] = np.iinfo(dtype).max
    path = write_tiff(tmp_path / "a.tif", pixels, tags={274: 6}, deflate=deflate)
    straight = write_tiff(tmp_path / "b.tif", pixels, deflate=deflate)
    assert np.array_equal(decode(path).rgb, np.rot90(decode(straight).rgb, -1))


@pytest.mark.parametrize(
    ("num_pages", "description", "got"),
    [
        (2, "", "grey pages of one size: 2, channels in ImageDescription: 1"),
        (3, "", "grey pages of one size: 3, channels in ImageDescription: 1"),
        (3, OME.format(1, 3, ""), "grey pages of one size: 3, channels in ImageDescription: 1"),
        (9, OME.format(3, 3, ""), "size: more than 3, channels in ImageDescription: 3"),
        (4, IMAGEJ.format(4, 4), "size: more than 3, channels in ImageDescription: 4"),
        (1, IMAGEJ.format(3, 3), "grey pages of one size: 1, channels in ImageDescription: 3"),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_other_grey_pages_are_refused(
    tmp_path: Path, dtype: Any, num_pages: int, description: str, got: str
) -> None:
    pages = [random(1, dtype, seed) for seed in range(num_pages)]
    path = write_tiff(tmp_path / "a.tif", *pages, description=description)
    with pytest.raises(DataError, match=rf"{got}; allowed: 1 page, or 3 pages with 3 channels"):
        decode(path)


@pytest.mark.parametrize("channels", [1, 3])
def test_of_pages_of_different_sizes_the_first_is_read(tmp_path: Path, channels: int) -> None:
    first = random(channels)
    path = write_tiff(tmp_path / "a.tif", first, first[::2, ::2], first[::4, ::4])
    decoded = decode(path)
    assert np.array_equal(decoded.rgb, first if channels == 3 else np.stack([first] * 3, 2))
    assert "several frames" in decoded.notes


def test_a_damaged_second_page_does_not_matter(tmp_path: Path) -> None:
    first = random(1)
    content = bytearray(write_tiff(tmp_path / "a.tif", first, first).read_bytes())
    content[-4 - 12 * 11 + 8] ^= 0x55  # the width of the second page
    (tmp_path / "a.tif").write_bytes(content)
    assert "several frames" in decode(tmp_path / "a.tif").notes


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (random(5), "5 samples a pixel; allowed 1, 3 or 4"),
        (random(7, np.uint16), "7 samples a pixel; allowed 1, 3 or 4"),
        (random(1).astype(np.float32), "32-bit float samples; allowed: 8- or 16-bit unsigned"),
        (random(3).astype(np.float32), "32-bit float samples; allowed: 8- or 16-bit unsigned"),
        (random(1).astype(np.float64), "64-bit float samples; allowed: 8- or 16-bit unsigned"),
        (random(1, np.int8), "8-bit signed samples; allowed: 8- or 16-bit unsigned"),
        (random(1, np.int16), "16-bit signed samples; allowed: 8- or 16-bit unsigned"),
        (random(3, np.int16), "16-bit signed samples; allowed: 8- or 16-bit unsigned"),
        (random(1, np.uint32), "32-bit unsigned samples; allowed: 8- or 16-bit unsigned"),
        (random(3, np.uint32), "32-bit unsigned samples; allowed: 8- or 16-bit unsigned"),
        (random(2), "TIFF of 2 samples a pixel, 8 bits a sample, photometric interpretation 1"),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_samples_that_are_not_read_are_refused_and_named(
    tmp_path: Path, order: Any, pixels: NDArray[Any], message: str
) -> None:
    path = write_tiff(tmp_path / "a.tif", pixels, order=order)
    with pytest.raises(DataError, match=rf"a\.tif: {message}"):
        decode(path)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({259: 33003}, "compression 33003; allowed: grey or RGB of 8 or 16 bits"),
        ({262: 32803}, "photometric interpretation 32803, compression 1; allowed: grey or RGB"),
    ],
)
def test_other_unread_tiff_files_name_what_they_are(
    tmp_path: Path, tags: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        decode(write_tiff(tmp_path / "a.tif", random(), tags=tags))


def test_a_tag_of_a_wrong_type_is_called_damaged(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", random(), tags={262: 32803})
    entry = path.read_bytes().index(b"\x06\x01\x03\x00")
    content = bytearray(path.read_bytes())
    content[entry + 2] = 7  # bytes
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged or cut short"):
        decode(path)


def test_very_many_samples_are_refused_without_a_second_message(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match="24 samples a pixel; allowed 1, 3 or 4"):
        decode(write_tiff(tmp_path / "a.tif", random(24)))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("keep", [4, 8, 100])
def test_tiff_without_readable_tags_is_called_damaged(tmp_path: Path, keep: int) -> None:
    path = write_tiff(tmp_path / "a.tif", random())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="damaged or cut short"):
        decode(path)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("deflate", [False, True])
def test_separate_planes_are_read_with_8_bits_and_refused_with_16(
    tmp_path: Path, deflate: bool, order: Any
) -> None:
    options: Any = {"planar": True, "deflate": deflate, "order": order}
    rgb = random()
    decoded = decode(write_tiff(tmp_path / "a.tif", rgb, **options))
    assert np.array_equal(decoded.rgb, rgb) and decoded.notes == ()
    path = write_tiff(tmp_path / "b.tif", random(3, np.uint16), **options)
    with pytest.raises(DataError, match=r"16-bit samples in separate planes \(PlanarConfig"):
        decode(path)


def test_big_tiff_is_read_and_refused_alike(tmp_path: Path) -> None:
    rgb = random()
    Image.fromarray(rgb).save(tmp_path / "a.tif", big_tiff=True)
    assert np.array_equal(decode(tmp_path / "a.tif").rgb, rgb)
    Image.fromarray(rgb[..., 0].astype(np.float32)).save(tmp_path / "b.tif", big_tiff=True)
    with pytest.raises(DataError, match="32-bit float samples"):
        decode(tmp_path / "b.tif")
