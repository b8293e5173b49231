"""The lock of a session file: one server has it open."""

from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from stainproof.errors import ConfigError, DataError


def hold(path: Path) -> BaseFileLock:
    """Hold the lock of a session file until it is released or the process ends.

    Raises:
        ConfigError: Another process holds it.
        DataError: The path is a folder, or its folder cannot be written to.
    """
    if path.is_dir():
        raise DataError(f"{path}: is a folder; allowed: a session file")
    # released by whichever thread closes the session
    lock = FileLock(path.with_name(f".{path.name}.lock"), thread_local=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(f"{path}: another server has this session open") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error
    return lock
