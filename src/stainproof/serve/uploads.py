"""Uploaded files, read within limits: what cannot be used is refused by name."""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar

from fastapi import HTTPException, Request
from pydantic import BaseModel
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException as StarletteHTTPException

from stainproof.data.decoding import decode
from stainproof.data.images import Images
from stainproof.errors import DataError
from stainproof.serve.settings import Limits
from stainproof.text import printable, size

MAX_NAME = 255
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
            return decode(Path(file.name), max_pixels=limits.num_pixels).rgb
        except DataError as error:
            raise DataError(str(error).removeprefix(f"{file.name}: ")) from error


def _check_size(content: bytes, limits: Limits) -> None:
    """Check the number of bytes.

    Raises:
        DataError: The file is empty or too large.
    """
    if not content:
        raise DataError("empty file")
    if len(content) > limits.file_bytes:
        raise DataError(f"too large; allowed: {size(limits.file_bytes)}, got {size(len(content))}")


def _label(filename: str) -> str:
    """Return a client's file name as a printable label."""
    return printable(filename.replace("\\", "/").lstrip("/"))[-MAX_NAME:] or "unnamed"
