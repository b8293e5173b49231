"""What a server is started with: where it listens, what it reads, and its limits."""

from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from stainproof.errors import ConfigError, DataError

MIN_KEY_LENGTH = 16


@dataclass(frozen=True)
class Limits:
    """What one request, and all requests at once, may take."""

    body_bytes: int = 64 * 2**20
    """Largest body of a request."""
    pending_bytes: int = 256 * 2**20
    """Bodies of all requests that are being answered, together."""
    num_files: int = 256
    """Files in one request."""
    file_bytes: int = 32 * 2**20
    """Largest file."""
    num_pixels: int = 16_000_000
    """Pixels of one image; checked before it is decoded."""
    num_requests: int = 64
    """Requests with images that are being answered at once; further ones get status 503."""
    num_waiting: int = 1024
    """Images that wait for the network; requests beyond get status 503."""
    time_s: float = 30.0
    """Time for one request, its upload included."""


@dataclass(frozen=True)
class Settings:
    """Where a server listens and what it reads and keeps."""

    host: str = "127.0.0.1"
    port: int = 8000
    """0: any free port."""
    api_key: str = ""
    folder: Path | None = None
    """Folder of images that the page offers to open."""
    session: Path | None = None
    """File in which the page keeps cells and decisions; None: in memory until the server stops."""
    has_fields: bool = False
    """Whether the page's images are photographs of a smear, whose cells are found first."""
    limits: Limits = field(default_factory=Limits)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    def check(self) -> None:
        """Check the settings before anything is opened.

        Raises:
            ConfigError: The port is out of range, or an API key is missing or too short.
            DataError: The folder does not exist.
        """
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"--port: allowed: 0 to 65535, got {self.port}")
        if not self.is_local and not self.api_key:
            raise ConfigError(
                f"--host {self.host}: other machines can connect, so an API key is needed; set "
                "STAINPROOF_API_KEY or --api-key, or use --host 127.0.0.1"
            )
        if self.api_key and len(self.api_key) < MIN_KEY_LENGTH:
            raise ConfigError(
                f"--api-key: allowed: {MIN_KEY_LENGTH} characters or more, got {len(self.api_key)}"
            )
        if not self.api_key.isascii() or not self.api_key.isprintable():
            raise ConfigError("--api-key: allowed: printable ASCII characters")
        if self.folder and not self.folder.is_dir():
            raise DataError(f"--folder {self.folder}: no such folder")


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is that of this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
