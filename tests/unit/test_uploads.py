"""Uploads are decoded within the limits of the server, by the same code as files."""

import io

import numpy as np
import pytest
from PIL import Image

from stainproof.errors import DataError
from stainproof.serve.settings import Limits
from stainproof.serve.uploads import decode_bytes


def jpeg() -> bytes:
    content = io.BytesIO()
    rgb = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(content, "JPEG")
    return content.getvalue()


def test_an_upload_is_decoded() -> None:
    assert decode_bytes(jpeg(), Limits()).shape == (40, 60, 3)
    assert decode_bytes(jpeg(), Limits(num_pixels=2400)).shape == (40, 60, 3)


@pytest.mark.parametrize(
    ("content", "limits", "message"),
    [
        (b"", Limits(), "^empty file$"),
        (jpeg(), Limits(file_bytes=1024), "^too large; allowed: 1 KiB, got"),
        (jpeg(), Limits(num_pixels=2000),
         "^refused before decoding; allowed: 0.002 megapixels, got 60 x 40 pixels$"),
        (jpeg()[:20] + bytes(2**20) + jpeg()[20:], Limits(), "^damaged; allowed: 64 KiB outside"),
    ],
    ids=["empty", "bytes", "pixels", "header"],
)  # fmt: skip
def test_what_is_beyond_the_limits_is_refused(content: bytes, limits: Limits, message: str) -> None:
    with pytest.raises(DataError, match=message):
        decode_bytes(content, limits)
