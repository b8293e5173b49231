"""Download of BloodMNIST from its public record, cached and resumable."""

import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pooch
import requests

from stainproof.errors import DataError
from stainproof.progress import Track, silent

BLOODMNIST = "bloodmnist"
RECORD_URL = "https://zenodo.org/records/10519652/files/"
FILES = {
    28: ("bloodmnist.npz", "7053d0359d879ad8a5505303e11de1dc"),
    64: ("bloodmnist_64.npz", "2b94928a2ae4916078ca51e05b6b800b"),
    128: ("bloodmnist_128.npz", "adace1e0ed228fccda1f39692059dd4c"),
    224: ("bloodmnist_224.npz", "b718ff6835fcbdb22ba9eacccd7b2601"),
}
"""Size in pixels -> file name and MD5 (Yang et al. 2023, doi 10.5281/zenodo.10519652)."""

CHUNK_BYTES = 1 << 20
TIMEOUT_S = 30


def cache_folder() -> Path:
    """Return the cache folder: `STAINPROOF_CACHE`, else the system's cache folder."""
    return Path(os.environ.get("STAINPROOF_CACHE") or pooch.os_cache("stainproof"))


def fetch_bloodmnist(
    name: str,
    *,
    record_url: str = RECORD_URL,
    files: dict[int, tuple[str, str]] | None = None,
    track: Track = silent,
) -> Path:
    """Return the path of a BloodMNIST file; download it if it is not cached.

    Args:
        name: `bloodmnist` (28 px) or `bloodmnist:SIZE` with one of 28, 64, 128, 224.
        record_url: Address of the files, ending with a slash.
        files: Size -> file name and MD5; by default those of the public record.
        track: Shows progress.

    Raises:
        DataError: The size is unknown, or the file cannot be downloaded completely.
    """
    table = files or FILES
    size_text = name.partition(":")[2] or "28"
    if not size_text.isdecimal() or int(size_text) not in table:
        sizes = ", ".join(str(size) for size in table)
        raise DataError(f"{name!r}: unknown size; allowed: bloodmnist:SIZE with one of {sizes}")
    file_name, md5 = table[int(size_text)]
    target = cache_folder() / file_name
    pooch.get_logger().setLevel("ERROR")
    try:
        pooch.retrieve(
            record_url + file_name,
            known_hash=f"md5:{md5}",
            fname=file_name,
            path=cache_folder(),
            downloader=partial(_resume_download, track=track),
        )
    except (requests.RequestException, OSError) as error:
        raise DataError(
            f"{file_name}: cannot be downloaded ({type(error).__name__}); "
            f"put the file from {record_url} at {target} and try again"
        ) from error
    except ValueError as error:
        _part_file(target).unlink(missing_ok=True)
        raise DataError(f"{file_name}: downloaded, but its MD5 is not {md5}; try again") from error
    return target


def _part_file(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def _resume_download(url: str, output_file: str, pup: Any, *, track: Track) -> None:
    """A downloader for pooch that resumes a partial download (HTTP Range, RFC 9110)."""
    part = _part_file(cache_folder() / url.rpartition("/")[2])
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
        if response.status_code != requests.codes.range_not_satisfiable:
            response.raise_for_status()
            resumed = response.status_code == requests.codes.partial_content
            num_chunks = -(-int(response.headers.get("Content-Length", 0)) // CHUNK_BYTES)
            chunks = response.iter_content(CHUNK_BYTES)
            with part.open("ab" if resumed else "wb") as file:
                for chunk in track(chunks, f"downloading {part.stem}", num_chunks):
                    file.write(chunk)
    shutil.move(part, output_file)
