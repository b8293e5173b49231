"""Thousands of damaged and hostile files posted to the server.

python -m benchmarks.serve.hostile_files RUN [--files 2000] [--seed 0]

Every file is posted alone to /v1/predict and /v1/count by several clients at once, and in groups
with sound cells to /v1/check. The server must answer each request in time: with 200, or with 4xx
and one line that names the file. Anything else is counted as a fault.
"""

import argparse
import io
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from benchmarks.common.page import made_on, write_section
from benchmarks.reliability.files import MAKERS, STRANGE, hostile_content, mutate
from benchmarks.serve.load import command, free_port, pictures, wait_until_up
from stainproof.text import printable

SECONDS = 30.0
"""A request that takes longer is a fault."""
NUM_CLIENTS = 4
NUM_A_CHECK = 20
"""Hostile files of one check."""
NUM_SOUND = 20
"""Sound cells beside them; a check needs as many."""
BOMB_SHARE = 0.02
BODY_SHARE = 0.1
"""Share of the requests whose body is damaged instead of the file in it."""
SIDES_PX = (3999, 4001, 9000, 30000)
"""Of the images of one colour; the server takes 16 megapixels."""
SINGLE = ("/v1/predict", "/v1/count")
CHECK = "/v1/check"
FAULTS = ("no answer", "5xx", "unclear")
OUTCOMES = ("used", "refused", *FAULTS)

Upload = tuple[str, tuple[str, bytes]]


@dataclass(frozen=True)
class Outcome:
    """How one request ended."""

    route: str
    number: int
    """Of the file, or of the first of a group."""
    what: str
    """One of `OUTCOMES`."""
    seconds: float
    detail: str = ""


@cache
def bomb(side_px: int) -> bytes:
    """Return a PNG file of some kilobytes and many pixels."""
    content = io.BytesIO()
    Image.new("1", (side_px, side_px)).save(content, format="PNG")
    return content.getvalue()


def upload(number: int, seed: int) -> Upload:
    """Return the hostile file of a number as the file of a form; its name may be strange too."""
    rng = np.random.default_rng([seed, number])
    suffix = list(MAKERS)[number % len(MAKERS)]
    is_bomb = rng.random() < BOMB_SHARE
    if is_bomb:
        content = bomb(int(rng.choice(SIDES_PX)))
    else:
        content, _ = hostile_content(suffix, rng.random(), rng)
    is_strange = rng.random() < 0.2
    name = f"{rng.choice(STRANGE)}{suffix}" if is_strange else f"{number:06d}{suffix}"
    return "images", (name, content)


def post(client: httpx.Client, route: str, number: int, seed: int) -> Outcome:
    """Post one hostile file, in some requests a sound file in a damaged body."""
    rng = np.random.default_rng([seed, number, len(route)])
    if rng.random() >= BODY_SHARE:
        hostile = upload(number, seed)
        request = client.build_request("POST", route, files=[hostile])
        return send(client, request, number, Path(hostile[1][0]).suffix)
    sound = [("images", ("sound.png", MAKERS[".png"](rng)))]
    request = client.build_request("POST", route, files=sound)
    headers = {"Content-Type": request.headers["Content-Type"]}
    content = mutate(request.read(), rng)
    return send(
        client, client.build_request("POST", route, content=content, headers=headers), number
    )


def check(client: httpx.Client, numbers: Sequence[int], seed: int, sound: list[bytes]) -> Outcome:
    """Post a group of hostile files with sound cells to be checked."""
    files: list[Upload] = [("images", (f"{one}.png", cell)) for one, cell in enumerate(sound)]
    files += [upload(number, seed) for number in numbers]
    return send(client, client.build_request("POST", CHECK, files=files), numbers[0])


def send(client: httpx.Client, request: httpx.Request, number: int, name: str = "") -> Outcome:
    """Send a request and return how it ended; a refusal must contain the end of a file's name."""
    route, began = request.url.path, time.monotonic()
    try:
        answer = client.send(request)
        body = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        seconds = time.monotonic() - began
        return Outcome(route, number, "no answer", seconds, f"{type(error)} {error}")
    seconds = time.monotonic() - began
    if answer.status_code >= 500:
        return Outcome(route, number, "5xx", seconds, f"{answer.status_code} {body}")
    if answer.status_code == 200:
        is_clear = all(
            (one["error"] is None) != (one["label"] is None) for one in body.get("predictions", ())
        )
        return Outcome(route, number, "used" if is_clear else "unclear", seconds, "")
    detail = str(body.get("detail", ""))
    is_clear = name in detail and 0 < len(detail) < 4000 and printable(detail) == detail
    return Outcome(route, number, "refused" if is_clear else "unclear", seconds, detail)


def attack(url: str, num_files: int, seed: int) -> Iterator[Outcome]:
    """Yield how every request to a server ended.

    Args:
        url: Its address.
        num_files: Number of hostile files, which are posted to three routes.
        seed: Seed of the files.
    """
    sound = pictures()[:NUM_SOUND]
    for side_px in SIDES_PX:
        bomb(side_px)  # once, not in several threads at a time
    with (
        httpx.Client(base_url=url, timeout=SECONDS) as client,
        ThreadPoolExecutor(NUM_CLIENTS) as pool,
    ):
        for route in SINGLE:

            def single(number: int, route: str = route) -> Outcome:
                return post(client, route, number, seed)

            yield from pool.map(single, range(num_files))
        for start in range(0, num_files, NUM_A_CHECK):
            numbers = range(start, min(start + NUM_A_CHECK, num_files))
            yield check(client, numbers, seed, sound)


def warm_up(url: str) -> None:
    """Post sound cells to every route, so that what is loaded once is in memory."""
    sound = [("images", ("cell.png", cell)) for cell in pictures()[:NUM_SOUND]]
    with httpx.Client(base_url=url, timeout=120) as client:
        for route in (*SINGLE, CHECK, CHECK):  # the first check may be given up
            client.post(route, files=sound)


def memory_mb(process: int, peak: bool) -> float:
    """Return the resident memory of a process in MB, now or at its peak (Linux)."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(rf"{'VmHWM' if peak else 'VmRSS'}:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes by route as a table."""
    lines = [f"| request | sent | {' | '.join(OUTCOMES)} | slowest |", "|---" * 8 + "|"]
    for route in (*SINGLE, CHECK):
        own = [one for one in outcomes if one.route == route]
        counts = Counter(one.what for one in own)
        cells = " | ".join(f"{counts[what]:,}" for what in OUTCOMES)
        slowest = max(one.seconds for one in own)
        lines.append(f"| `POST {route}` | {len(own):,} | {cells} | {slowest:.1f} s |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Post the files, write the section, and end with an error if there are faults."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command("stainproof serve", options.run, port, "")) as process:
        try:
            wait_until_up(url, process)
            warm_up(url)
            before = memory_mb(process.pid, peak=False)
            outcomes = list(attack(url, options.files, options.seed))
            after, peak = (memory_mb(process.pid, peak=one) for one in (False, True))
            is_up = process.poll() is None
        finally:
            process.terminate()
    faults = [one for one in outcomes if one.what in FAULTS]
    for fault in faults:
        print(fault, file=sys.stderr)
    note = (
        f"{options.files:,} files, seed {options.seed}, {NUM_CLIENTS} clients; /v1/check got "
        f"{NUM_A_CHECK} of them at once with {NUM_SOUND} sound cells. {100 * BOMB_SHARE:.0f} % are "
        f"images of up to {max(SIDES_PX):,} x {max(SIDES_PX):,} px of one colour, "
        f"{100 * BODY_SHARE:.0f} % of the bodies of the first two are damaged outside the file. "
        "`used`: 200; `refused`: 4xx with one line that names the file or the fault of the form. "
        f"Faults: no answer within {SECONDS:.0f} s, a status from 500 on, an answer that does not "
        f"say what is wrong. Memory of the server: {before:,.0f} MB before, {after:,.0f} MB after, "
        f"{peak:,.0f} MB at its peak. The server {'still ran' if is_up else 'had ended'}."
    )
    text = "\n".join([table(outcomes), "", note, "", made_on()])
    write_section("Hostile files posted to the server", text)
    if faults or not is_up:
        raise SystemExit(f"{len(faults)} faults")


if __name__ == "__main__":
    main()
