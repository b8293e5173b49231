"""Load on loopback: stainproof serve, a plain FastAPI handler and LitServe with one model.

python -m benchmarks.serve.load RUN [--clients 1 8 64] [--seconds 10] [--litserve PYTHON]

Every server is a process of its own, and one more process holds the clients, each of which sends
the next request when it has the answer to the last. A request is one PNG of 96 x 96 px. At the end,
stainproof gets requests at four times the rate that it sustained, whether answers come or not.
"""

import argparse
import asyncio
import io
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from benchmarks.common.child import ROOT
from benchmarks.common.page import made_on, write_section

SIDES = ("stainproof serve", "plain FastAPI handler", "LitServe")
SIZE_PX = 96
WARM_UP_S = 1.0
START_S = 120.0
OVERLOAD = 4
NUM_IMAGES = 32
LOST = 0
"""In place of a status: no answer."""


def pictures() -> list[bytes]:
    """Return phantom cells as PNG files."""
    from stainproof.synthetic.phantoms import generate

    files = []
    for rgb in generate(NUM_IMAGES, seed=1, size_px=SIZE_PX, num_workers=1)[0]:
        stream = io.BytesIO()
        Image.fromarray(rgb).save(stream, format="PNG")
        files.append(stream.getvalue())
    return files


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def command(side: str, run: Path, port: int, litserve: str) -> list[str]:
    """Return the command that starts a server."""
    if side == "stainproof serve":
        return [sys.executable, "-m", "stainproof", "serve", str(run), "--port", str(port)]
    if side == "LitServe":
        script = str(Path(__file__).with_name("litserve_server.py"))
        return [litserve, script, str(run / "best.onnx"), str(port)]
    return [sys.executable, "-m", "benchmarks.serve.plain_handler", str(run), str(port)]


def path_of(side: str) -> str:
    """Return the path of a prediction."""
    return "/v1/predict" if side == "stainproof serve" else "/predict"


def cpu_s(process: int) -> float:
    """Return the CPU time of a process and its living descendants in s (Linux)."""
    parents, times = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents[int(path.parent.name)] = int(fields[1])
        times[int(path.parent.name)] = int(fields[11]) + int(fields[12])
    family = {process}
    while found := {one for one, parent in parents.items() if parent in family} - family:
        family |= found
    return sum(times.get(one, 0) for one in family) / os.sysconf("SC_CLK_TCK")


async def closed_loop(
    url: str, files: Sequence[bytes], num_clients: int, seconds: float
) -> tuple[list[float], Counter[int]]:
    """Let clients send request after request; return the times of answers in s, and statuses."""
    times: list[float] = []
    statuses: Counter[int] = Counter()
    begin = time.perf_counter() + WARM_UP_S
    limits = httpx.Limits(max_connections=num_clients, max_keepalive_connections=num_clients)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:

        async def ask(number: int) -> None:
            index = number
            while (start := time.perf_counter()) < begin + seconds:
                index += 1
                form = {"images": ("cell.png", files[index % len(files)])}
                try:
                    status = (await client.post(url, files=form)).status_code
                except httpx.HTTPError:
                    status = LOST
                if start >= begin:
                    statuses[status] += 1
                    if status == 200:
                        times.append(time.perf_counter() - start)

        await asyncio.gather(*(ask(number) for number in range(num_clients)))
    return times, statuses


async def open_loop(url: str, files: Sequence[bytes], rate: float, seconds: float) -> Counter[str]:
    """Send requests at a rate whether answers come or not; return how they ended."""
    ends: Counter[str] = Counter()
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=120) as client:

        async def ask(index: int) -> None:
            try:
                form = {"images": ("cell.png", files[index % len(files)])}
                answer = await client.post(url, files=form)
                ends[str(answer.status_code)] += 1
            except httpx.HTTPError as error:
                ends[type(error).__name__] += 1

        async with asyncio.TaskGroup() as group:
            start = time.perf_counter()
            for index in range(round(rate * seconds)):
                await asyncio.sleep(max(0.0, start + index / rate - time.perf_counter()))
                group.create_task(ask(index))
    return ends


def wait_until_up(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a server accepts connections.

    Raises:
        SystemExit: It ended or does not answer in time.
    """
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            httpx.get(url)
            return
        except httpx.TransportError:
            time.sleep(0.2)
    raise SystemExit(f"{url}: no server")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every side, write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--litserve", default="", help="a Python that has LitServe")
    options = parser.parse_args(arguments)
    files = pictures()
    rows, overload = [], ""
    for side in SIDES:
        if side == "LitServe" and not options.litserve:
            continue
        port = free_port()
        words = command(side, options.run, port, options.litserve)
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
        with subprocess.Popen(
            words, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                url = f"http://127.0.0.1:{port}{path_of(side)}"
                wait_until_up(url, process)
                fastest = 0.0
                for num_clients in options.clients:
                    rate, row = measure(side, url, files, num_clients, options.seconds, process.pid)
                    rows.append(row)
                    fastest = max(fastest, rate)
                if side == "stainproof serve":
                    overload = overloaded(url, files, fastest, options.seconds)
            finally:
                process.terminate()
    times = ["p50, ms", "p95, ms", "p99, ms", "CPU, ms"]
    columns = ["server", "clients", "requests/s", *times, "refused", "lost"]
    header = f"| {' | '.join(columns)} |"
    text = "\n".join(
        [header, "|---|---|---|---|---|---|---|---|---|", *rows, "", overload, "", made_on()]
    )
    write_section("Load on the server", text)


def measure(
    side: str, url: str, files: Sequence[bytes], num_clients: int, seconds: float, process: int
) -> tuple[float, str]:
    """Return the requests a second of one side with so many clients, and its row."""
    before = cpu_s(process)
    times, statuses = asyncio.run(closed_loop(url, files, num_clients, seconds))
    used_ms = 1000 * (cpu_s(process) - before) * seconds / (seconds + WARM_UP_S)
    p50, p95, p99 = 1000 * np.percentile(times, [50, 95, 99]) if times else [np.nan] * 3
    rate = len(times) / seconds
    lost = statuses[LOST]
    refused = sum(statuses.values()) - len(times) - lost
    print(f"{side}: {num_clients} clients, {rate:.0f} requests/s", file=sys.stderr, flush=True)
    return rate, (
        f"| {side} | {num_clients} | {rate:.0f} | {p50:.1f} | {p95:.1f} | {p99:.1f} "
        f"| {used_ms / max(len(times), 1):.1f} | {refused} | {lost} |"
    )


def overloaded(url: str, files: Sequence[bytes], sustained: float, seconds: float) -> str:
    """Return a sentence about how requests end beyond the rate that the server sustains."""
    rate = OVERLOAD * max(sustained, 1)
    ends = asyncio.run(open_loop(url, files, rate, seconds))
    told = ", ".join(f"{num} with {name}" for name, num in sorted(ends.items()))
    lost = sum(num for name, num in ends.items() if name not in ("200", "503"))
    return (
        f"At {rate:.0f} requests a second, {OVERLOAD} times the highest rate above, for "
        f"{seconds:.0f} s, of {sum(ends.values()):,} requests to stainproof serve: {told}; "
        f"neither answered nor refused with 503: {lost}."
    )


if __name__ == "__main__":
    main()
