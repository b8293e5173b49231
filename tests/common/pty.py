"""Run a program on a pseudo-terminal of a given width."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path


def on_terminal(command: Sequence[object], columns: int, folder: Path, **environment: str) -> str:
    """Return what a program writes to a terminal from a folder, with the terminal's codes."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "GITHUB_ACTIONS")
    }
    with subprocess.Popen(
        [str(word) for word in command],
        stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True, cwd=folder,
        env={**inherited, "TERM": "xterm-256color", **environment},
    ) as process:  # fmt: skip
        os.close(theirs)
        parts = []
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux: the other end is closed
                break
            if not part:
                break
            parts.append(part)
        process.wait()
    os.close(ours)
    return b"".join(parts).decode()
