"""The lock of a run folder: only one process trains in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stainproof import files
from stainproof.errors import CheckpointError, ConfigError

IN_TRAINING = "another process is training in this folder"


@contextmanager
def hold(folder: Path, lock_file: Path) -> Iterator[None]:
    """Hold the lock of a folder; a folder that is empty at the end is removed.

    The operating system releases the lock when the process ends, also after a crash.

    Raises:
        ConfigError: Another process holds it.
        DataError: The folder cannot be written to.
    """
    from filelock import FileLock, Timeout

    files.check_writable(lock_file)
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(f"{folder}: {IN_TRAINING}; choose another --out") from None
    try:
        files.clear_parts(folder)
        yield
    finally:
        lock.release()
        lock_file.unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def check_free(folder: Path, lock_file: Path) -> None:
    """Check that no process trains in a folder.

    Raises:
        CheckpointError: Another process holds the lock.
    """
    from filelock import FileLock, Timeout

    if not lock_file.exists():
        return
    try:
        with FileLock(lock_file).acquire(timeout=0.2):
            pass
    except Timeout:
        raise CheckpointError(f"{folder}: {IN_TRAINING}; wait until it has ended") from None
    except OSError:  # a folder that cannot be written to; Timeout is an OSError too
        pass
