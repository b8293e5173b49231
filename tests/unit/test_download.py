import hashlib
import http.server
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pooch
import pytest

from stainproof.data import download
from stainproof.errors import DataError

CONTENT = np.random.default_rng(0).integers(0, 256, 3_000_000, dtype=np.uint8).tobytes()
MD5 = hashlib.md5(CONTENT).hexdigest()
NAME = "bloodmnist.npz"


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT; breaks off after `break_after` bytes once, if told to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: list[str | None] = []
        self.break_after: int | None = None
        self.knows_ranges, self.status = True, 200
        self.content = CONTENT

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        asked = self.headers.get("Range")
        server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if server.status != 200:
            self.send_error(server.status)
            return
        if not server.knows_ranges:
            start, asked = 0, None
        if start >= len(server.content):
            self.send_error(416)
            return
        body = server.content[start:]
        self.send_response(206 if asked else 200)
        if asked:
            end, total = len(server.content) - 1, len(server.content)
            self.send_header("Content-Range", f"bytes {start}-{end}/{total}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.break_after is not None:
            body, server.break_after = body[: server.break_after], None
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STAINPROOF_CACHE", str(tmp_path / "cache"))
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    return tmp_path / "cache"


def fetch(server: Server, md5: str = MD5, name: str = "bloodmnist") -> Path:
    return download.fetch_bloodmnist(name, record_url=server.url, files={28: (NAME, md5)})


def test_the_file_comes_whole_into_the_cache(server: Server, cache: Path) -> None:
    path = fetch(server)
    assert path == cache / NAME
    assert path.read_bytes() == CONTENT
    assert [file.name for file in cache.iterdir()] == [NAME]


def test_a_cached_file_is_not_downloaded_again(server: Server, cache: Path) -> None:
    fetch(server)
    fetch(server, name="bloodmnist:28")
    assert server.ranges == [None]


def test_a_file_placed_in_the_cache_by_hand_is_used(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / NAME).write_bytes(CONTENT)
    assert fetch(server).read_bytes() == CONTENT
    assert server.ranges == []


def test_an_incomplete_download_is_an_error_and_the_next_call_continues_it(
    server: Server, cache: Path
) -> None:
    server.break_after = 2_500_000
    with pytest.raises(DataError, match="cannot be downloaded"):
        fetch(server)
    assert not (cache / NAME).exists()
    assert fetch(server).read_bytes() == CONTENT
    first, second = server.ranges
    assert first is None and second
    start = int(second.removeprefix("bytes=").removesuffix("-"))
    assert 2_500_000 - download.CHUNK_BYTES <= start <= 2_500_000
    assert [file.name for file in cache.iterdir()] == [NAME]


def test_a_server_without_range_requests_sends_the_file_from_the_start(
    server: Server, cache: Path
) -> None:
    server.break_after, server.knows_ranges = 2_500_000, False
    with pytest.raises(DataError):
        fetch(server)
    assert fetch(server).read_bytes() == CONTENT
    assert server.ranges[0] is None and (server.ranges[1] or "").startswith("bytes=")


def test_a_download_that_had_arrived_whole_but_was_not_yet_moved_is_used(
    server: Server, cache: Path
) -> None:
    cache.mkdir()
    (cache / f"{NAME}.part").write_bytes(CONTENT)
    assert fetch(server).read_bytes() == CONTENT


def test_a_wrong_md5_is_refused_and_nothing_is_kept_of_it(server: Server, cache: Path) -> None:
    with pytest.raises(DataError, match="MD5 is not 0123"):
        fetch(server, md5="0123" * 8)
    assert list(cache.iterdir()) == []


def test_a_spoilt_part_is_thrown_away_so_that_the_next_call_succeeds(
    server: Server, cache: Path
) -> None:
    cache.mkdir()
    (cache / f"{NAME}.part").write_bytes(b"\0" * 100_000)
    with pytest.raises(DataError, match="MD5"):
        fetch(server)
    assert fetch(server).read_bytes() == CONTENT


def test_an_altered_file_in_the_cache_is_replaced(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / NAME).write_bytes(CONTENT[:-1])
    assert fetch(server).read_bytes() == CONTENT


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the downloader's own logger says to the user."""
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    monkeypatch.setattr(pooch.get_logger(), "handlers", [Handler()])
    return lines


@pytest.mark.parametrize("down", [True, False])
def test_a_server_that_is_down_or_lost_the_file_is_one_line_saying_where_to_put_it(
    server: Server, cache: Path, down: bool, said: list[Any]
) -> None:
    if down:
        server.server_close()
    server.status = 404
    with pytest.raises(DataError) as refusal:
        fetch(server)
    message = str(refusal.value)
    assert "\n" not in message
    assert str(cache / NAME) in message
    assert server.url in message
    assert said == []


@pytest.mark.parametrize("size", ["29", "x", "-28", "²", "28:64"])
def test_an_unknown_size_names_the_known_ones(cache: Path, size: str) -> None:
    with pytest.raises(DataError, match="allowed: bloodmnist:SIZE with one of 28, 64, 128, 224"):
        download.fetch_bloodmnist(f"bloodmnist:{size}")


def test_the_cache_is_where_the_environment_says_or_in_the_users_cache_folder(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert download.cache_folder() == cache
    monkeypatch.setenv("STAINPROOF_CACHE", "")
    assert download.cache_folder().name == "stainproof"


def test_a_cache_that_cannot_be_created_is_an_error(server: Server, cache: Path) -> None:
    cache.write_text("a file where a folder should be")
    with pytest.raises(DataError, match="cache"):
        fetch(server)
