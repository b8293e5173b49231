"""The command of bubblewrap that starts a program in a sandbox; see bwrap(1)."""

import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from stainproof.errors import ConfigError

SYSTEM_PREFIXES = ("/", "/usr", "/usr/local")
LIBRARY_NAMES = ("bin", "lib", "lib64", "pyvenv.cfg")
"""What the sandbox contains of a prefix."""
SYSTEM_PATHS = ("/etc/ld.so.cache", "/etc/alternatives", "/nix/store", "/sys/devices/system/cpu")
"""Needed as well: by the dynamic linker, by interpreters that are links, to count the cores."""
MAX_FOLDER_BYTES = 2**30
"""Space of each folder that can be written to. All of them are in memory."""
DEVICES = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}
"""Major and minor numbers of the character devices in the sandbox."""
WITHOUT = "--unfenced runs submissions without one: they can read your files and use the network"


def no_sandbox(reason: str) -> ConfigError:
    """Return the error that says in one line why there is no sandbox."""
    return ConfigError(f"no sandbox for submissions here: {reason}; {WITHOUT}")


def command(
    readable: Sequence[Path],
    writable: Sequence[Path],
    devices: Path,
    python: str,
    prefixes: Sequence[str],
) -> list[str]:
    """Return the arguments in front of a program.

    Args:
        readable: Files and folders that the program can read.
        writable: Folders, in which it finds nothing and can write; it starts in the first of them.
        devices: An empty folder, for device files.
        python: The interpreter.
        prefixes: Folders whose `bin` and `lib` belong to it.

    Raises:
        ConfigError: bubblewrap is not installed, or this user cannot use it safely.
    """
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise no_sandbox("bubblewrap (bwrap) is not installed (apt install bubblewrap)")
    # The launcher is process 1: when it ends, the kernel kills all other processes. A sandbox that
    # root starts could use capabilities and write to /proc/sys, so both are taken away. In a user
    # namespace of its own a program could mount file systems without a limit of their size.
    words = [*_priority(), bwrap]
    words += ["--unshare-all", "--unshare-user", "--disable-userns", "--cap-drop", "ALL"]
    words += ["--as-pid-1", "--die-with-parent", "--new-session", "--hostname", "sandbox"]
    words += ["--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev"]
    words += [
        *_own_devices(devices),
        *_folder("/dev/shm"),
        "--remount-ro",
        "/dev",
        *_folder("/tmp"),
    ]
    for path in (*_libraries(python, prefixes), *SYSTEM_PATHS):
        words += ["--ro-bind-try", path, path]
    for path in map(str, readable):
        words += ["--ro-bind", path, path]
    for folder in writable:
        words += _folder(str(folder))
    return [*words, "--remount-ro", "/", "--chdir", str(writable[0])]


def _priority() -> list[str]:
    """Give the sandbox of root the highest priority, which the launcher takes from the program.

    The kernel limits the number of processes of every user but root. The launcher, which counts
    them, would wait behind thousands of them for its turn.
    """
    nice = shutil.which("nice") if os.geteuid() == 0 else None
    return [nice, "-n", "-20"] if nice else []


def _folder(path: str) -> list[str]:
    return ["--size", str(MAX_FOLDER_BYTES), "--tmpfs", path]


def _libraries(python: str, prefixes: Sequence[str]) -> list[str]:
    real_prefix = str(Path(python).resolve().parents[1])
    folders = dict.fromkeys((*SYSTEM_PREFIXES, *prefixes, real_prefix))
    return [str(Path(folder, name)) for folder in folders for name in LIBRARY_NAMES]


def _own_devices(folder: Path) -> list[str]:
    """Replace the device files of the machine if this user owns them and could change their modes.

    That is so for root only.
    """
    if Path(os.devnull).stat().st_uid != os.geteuid():
        return []
    words = []
    for name, numbers in DEVICES.items():
        path = folder / name
        try:
            os.mknod(path, stat.S_IFCHR, os.makedev(*numbers))
            path.chmod(0o666)
            if name == "null":
                path.write_bytes(b"")
        except OSError as error:
            raise no_sandbox(
                f"a submission of root could change /dev/{name}, and no device file can be made for"
                f" it ({error.strerror}); run this as another user"
            ) from error
        words += ["--dev-bind", str(path), f"/dev/{name}"]
    return words
