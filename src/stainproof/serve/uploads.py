"""Uploaded files, read within limits: what cannot be used is refused by name."""

import asyncio
import io
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar

from fastapi import HTTPException, Request
from PIL import Image
from pydantic import BaseModel
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException as StarletteHTTPException

from stainproof.data.decoding import decode
from stainproof.data.image_file import DECODER_ERRORS, FORMATS
from stainproof.data.images import Images
from stainproof.errors import DataError
from stainproof.serve.settings import Limits
from stainproof.text import printable, size

MAX_NAME = 255
MAX_JUNK = 2**16
"""Bytes of a JPEG header outside of its segments; sound files have some hundreds."""
FIELD = "images"
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {
                        FIELD: {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                        }
                    },
                }
            }
        },
    }
}
"""The body of a request with images, for OpenAPI."""


Prepared = TypeVar("Prepared")


class Refused(BaseModel):
    """A file that cannot be used, and why."""

    name: str
    error: str


async def read_files(request: Request, limits: Limits) -> list[tuple[str, bytes]]:
    """Return name and content of the files in the field `images`.

    Raises:
        HTTPException: 413, 415 or 422: too much, another kind of body, or no file.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise HTTPException(415, "allowed: multipart/form-data with files in the field 'images'")
    try:
        form = await request.form(max_files=limits.num_files, max_fields=8)
    except StarletteHTTPException as error:  # a malformed form
        too_many = str(error.detail).startswith("Too many files")
        raise HTTPException(413 if too_many else 422, f"form: {error.detail}") from error
    except (ValueError, KeyError) as error:
        raise HTTPException(422, "form: malformed") from error
    try:
        files = [one for one in form.getlist(FIELD) if isinstance(one, UploadFile)]
        if not files:
            raise HTTPException(422, "form: no file in the field 'images'")
        return [(_label(one.filename or ""), await one.read()) for one in files]
    finally:
        await form.close()


async def decode_all(
    files: Sequence[tuple[str, bytes]],
    limits: Limits,
    pool: Executor,
    use: Callable[[str, Images], Prepared],
) -> list[Prepared | Refused]:
    """Decode files in the threads of a pool, and hand each image to `use` there.

    What `use` returns is kept instead of the pixels, so that large images are in memory one per
    thread.
    """
    loop = asyncio.get_running_loop()

    def prepare(name: str, content: bytes) -> Prepared | Refused:
        try:
            return use(name, decode_bytes(content, limits))
        except DataError as error:
            return Refused(name=name, error=str(error))

    return await asyncio.gather(*(loop.run_in_executor(pool, prepare, *file) for file in files))


def decode_bytes(content: bytes, limits: Limits) -> Images:
    """Decode the content of a file to uint8 (height, width, 3).

    It passes through a temporary file that is removed at once, so that uploads are decoded as all
    other images are.

    Raises:
        DataError: It is no image that can be read, or too large.
    """
    _check_size(content, limits)
    with tempfile.NamedTemporaryFile(prefix="stainproof-", suffix=".image") as file:
        file.write(content)
        file.flush()
        try:
            return decode(Path(file.name)).rgb
        except DataError as error:
            raise DataError(str(error).removeprefix(f"{file.name}: ")) from error


def _check_size(content: bytes, limits: Limits) -> None:
    """Check the numbers of bytes and pixels before anything is decoded.

    Raises:
        DataError: The file is empty, too large, no image, or has too many pixels.
    """
    if not content:
        raise DataError("empty file")
    if len(content) > limits.file_bytes:
        raise DataError(f"too large; allowed: {size(limits.file_bytes)}, got {size(len(content))}")
    if content.startswith(b"\xff\xd8\xff") and _num_junk_bytes(content) > MAX_JUNK:
        raise DataError("damaged: the header of the JPEG file is no sequence of segments")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
    except Image.DecompressionBombError as error:
        raise DataError(f"too large; allowed: {limits.num_pixels:,} pixels") from error
    except (*DECODER_ERRORS, MemoryError):
        return  # `decode` says what is wrong with it
    if width * height > limits.num_pixels:
        raise DataError(f"too large; allowed: {limits.num_pixels:,} pixels, got {width} x {height}")


def _num_junk_bytes(content: bytes) -> int:
    """Return the bytes before the first scan of a JPEG file that are not inside of segments.

    Pillow steps through them one by one, which takes seconds for megabytes. Counting ends above
    `MAX_JUNK`.
    """
    place, num = 2, 0
    while place + 4 <= len(content) and num <= MAX_JUNK:
        marker = content[place + 1]
        if content[place] != 0xFF or marker in (0x00, 0xFF):
            end = content.find(b"\xff", place + 1)
            step = (end if end > 0 else len(content)) - place
        elif marker == 0xDA:  # start of scan
            break
        elif marker == 0x01 or 0xD0 <= marker <= 0xD9:  # no segment follows
            step = 2
        else:
            num += 4
            place += 2 + int.from_bytes(content[place + 2 : place + 4])
            continue
        num += step
        place += step
    return num


def _label(filename: str) -> str:
    """Return a client's file name as a printable label."""
    return printable(filename.replace("\\", "/").lstrip("/"))[-MAX_NAME:] or "unnamed"
