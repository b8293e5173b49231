"""The manifest of a folder: the SHA-256 of its files, so that altered ones are noticed.

`manifest.json` names every file by its path in the folder, with the one or two SHA-256 that it may
have. There is one writer at a time (`RunFolder.training_lock`) and any number of readers.

A writer replaces a file in three steps: it writes the new version beside the old one, then a
manifest that accepts both versions, then it renames the new version. If it is killed between any
two steps, the folder has a version that the manifest accepts. `settle` removes the versions that
are no longer on disk; a run folder does this whenever its card is written.

A reader reads the manifest, then the file. A writer may have replaced the file in between, but only
after it had replaced the manifest. So a file that the manifest does not accept was altered if the
manifest is still the same afterwards; if it is not, the reader begins again.

Files that the manifest does not name, and folders without one (those of earlier versions), are read
unchecked.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from stainproof import files
from stainproof.errors import CheckpointError, DataError
from stainproof.runs.artefact import Artefact, read_small_file

MANIFEST_FILE = "manifest.json"
MAX_MODEL_BYTES = 4 * 2**30
"""Largest file of weights or ONNX model that is read."""


class Manifest(Artefact):
    """The file `manifest.json`."""

    files: dict[str, tuple[str, ...]]
    """Path in the folder, with forward slashes -> accepted SHA-256 in hexadecimal: that of the
    version on disk, and while it is replaced also that of the other version."""


class HashedFolder:
    """A folder with a manifest. Every write is atomic and enters the manifest."""

    def __init__(self, path: str | Path):
        """Name a folder, which may not exist yet."""
        self.path = Path(path)
        self.manifest = self.path / MANIFEST_FILE

    def __str__(self) -> str:
        return str(self.path)

    def read_manifest(self) -> Manifest | None:
        """Read the manifest; None if there is none, as in folders of earlier versions.

        Raises:
            CheckpointError: The file is damaged.
        """
        if not self.manifest.exists():
            return None
        return Manifest.read(self.manifest)

    def read(self, path: Path, max_bytes: int = files.MAX_TEXT_BYTES) -> bytes:
        """Read a regular file of the folder and check it against the manifest.

        Args:
            path: The file.
            max_bytes: Largest size that is read.

        Raises:
            CheckpointError: The file is missing, not a regular file, too large, or was altered.
        """
        content = b""

        def hash_content() -> str:
            nonlocal content
            content = read_small_file(path, max_bytes)
            return hashlib.sha256(content).hexdigest()

        self._check(path, hash_content)
        return content

    def check(self, *paths: Path) -> None:
        """Check files of any size against the manifest; files that do not exist are left out.

        Raises:
            CheckpointError: One of them is not a regular file, or was altered.
        """
        for path in paths:
            if path.exists():
                self._check(path, lambda path=path: hash_of(path))  # type: ignore[misc]

    def accepts(self, path: Path, sha256: str, manifest: Manifest | None) -> bool:
        """Return whether a manifest accepts a version of a file, or does not name the file."""
        accepted = manifest.files.get(self.name_of(path)) if manifest else None
        return accepted is None or sha256 in accepted

    def name_of(self, path: Path) -> str:
        """Return the name of a file in the manifest."""
        return path.relative_to(self.path).as_posix()

    def put(self, path: Path, write: Callable[[Path], object]) -> str:
        """Write a file of the folder atomically, and enter it in the manifest.

        Args:
            path: The file.
            write: Writes the content to the path that it is given.

        Returns:
            The SHA-256 of the new version.

        Raises:
            DataError: The file cannot be written.
            CheckpointError: The manifest is damaged.
        """
        with files.atomic_path(path) as part:
            write(part)
            sha256 = files.sha256_of(part)
            manifest, name = self.read_manifest(), self.name_of(path)
            entries = dict(manifest.files) if manifest else {}
            accepted = {sha256: None}
            if path.is_file() and (manifest is None or name in entries):
                old = files.sha256_of(path)
                if self.accepts(path, old, manifest):
                    accepted = {old: None, sha256: None}
            entries[name] = tuple(accepted)
            Manifest(files=dict(sorted(entries.items()))).write(self.manifest)
        return sha256

    def put_bytes(self, path: Path, content: bytes) -> str:
        """Write a file with this content; see `put`."""
        return self.put(path, lambda part: part.write_bytes(content))

    def copy_files(self, other: "HashedFolder", *paths: Path) -> None:
        """Copy files of another run that exist, each checked against the manifest.

        Raises:
            CheckpointError: One was altered, is a link, or is not a regular file.
        """
        for path in paths:
            if path.exists():
                try:
                    files.check_own(path, other.path)
                except DataError as error:
                    raise CheckpointError(str(error)) from error
                content = other.read(path, MAX_MODEL_BYTES)
                self.put_bytes(self.path / path.relative_to(other.path), content)

    def settle(self) -> None:
        """Accept only the version on disk of every file that exists."""
        manifest = self.read_manifest()
        if manifest is None:
            return
        entries = dict(manifest.files)
        for name, accepted in entries.items():
            if len(accepted) > 1 and (self.path / name).is_file():
                there = files.sha256_of(self.path / name)
                entries[name] = tuple(one for one in accepted if one == there) or accepted
        if entries != manifest.files:
            Manifest(files=entries).write(self.manifest)

    def _check(self, path: Path, hash_file: Callable[[], str]) -> None:
        while True:
            manifest = self.read_manifest()
            if self.accepts(path, hash_file(), manifest):
                return
            if self.read_manifest() == manifest:
                raise CheckpointError(
                    f"{path}: altered; its SHA-256 is not the one in manifest.json"
                )


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a regular file of any size.

    Raises:
        CheckpointError: It is missing, unreadable or not a regular file.
    """
    try:
        with files.open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: missing or unreadable ({error.strerror})") from error
