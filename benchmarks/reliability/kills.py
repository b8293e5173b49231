"""Kill commands with SIGKILL and look at what they leave.

python -m benchmarks.reliability.kills [--kills 200] [--seed 0]

Every command runs in a process of its own and is killed, half of the times at a random moment and
half of the times just before a random operation that changes its folder: opening a file to write,
renaming, removing. Then every file must be whole, and the same command again must give the results
of one that was never killed and leave no temporary files, or refuse in one line.
"""

import argparse
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.page import made_on, write_section
from benchmarks.reliability import commands
from benchmarks.reliability.commands import COMMANDS, IN_A_RUN, Ended

WAYS = ("moment", "operation")
SECTION = "kills"


@dataclass(frozen=True)
class Kill:
    """What a killed command left."""

    command: str
    way: str
    was_killed: bool
    """Whether it was killed before it had ended."""
    faults: tuple[str, ...]
    """Files that were cut short or missing, temporary files that stayed, and other results."""
    refusal: str
    """What the same command said if it refused to go on."""


class Killer:
    """Kills commands, each in a folder of its own."""

    def __init__(self, folder: Path):
        """Make what the commands read.

        Args:
            folder: An empty folder for everything.
        """
        self.inputs, self.folder = folder / "inputs", folder
        self.whole: dict[str, tuple[Ended, Any]] = {}
        self.context: ForkServerContext = get_context("forkserver")
        self.context.set_forkserver_preload([commands.__name__])
        commands.prepare(self.inputs)

    def kill(self, command: str, way: str, rng: np.random.Generator) -> Kill:
        """Kill a command once, repeat it, and compare its results with those of a whole one."""
        if command not in self.whole:
            place = self._place(command)
            ended = self._run(command, place)
            assert ended and not ended.refusal, ended
            self.whole[command] = ended, commands.results(command, place)
        usual, expected = self.whole[command]
        place = self._place(command)
        if way == "moment":
            ended = self._run(command, place, after_s=rng.uniform(0, usual.seconds))
        else:
            kill_at = int(rng.integers(1, usual.num_operations + 1))
            ended = self._run(command, place, kill_at=kill_at)
        faults = commands.faults(command, place)
        again = self._run(command, place) if ended is None else ended
        if again is None:
            faults.append("the same command crashed")
        elif not again.refusal:
            if commands.results(command, place) != expected:
                faults.append("other results")
            faults += [f"{part.name} stayed" for part in place.rglob("*.part")]
        shutil.rmtree(place)
        refusal = again.refusal if again else ""
        return Kill(command, way, ended is None, tuple(faults), refusal)

    def _place(self, command: str) -> Path:
        place = self.folder / "place"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        if command in IN_A_RUN:
            shutil.copytree(self.inputs / "run", place / "run")
        return place

    def _run(
        self, command: str, place: Path, kill_at: int = 0, after_s: float | None = None
    ) -> Ended | None:
        """Run a command; return how it ended, or None if it was killed or crashed."""
        receiver, sender = self.context.Pipe(duplex=False)
        process = self.context.Process(
            target=commands.work, args=(command, self.inputs, place, kill_at, sender)
        )
        process.start()
        sender.close()
        if after_s is not None:
            process.join(after_s)
            process.kill()
        try:
            ended = receiver.recv()
        except EOFError:
            ended = None
        process.join()
        return ended if isinstance(ended, Ended) else None


def table(kills: Iterable[Kill]) -> str:
    """Return a table with one line for each command."""
    lines = [
        "| command | kills | all files whole, same results | refused in one line | faults |",
        "|---|---|---|---|---|",
    ]
    done = [one for one in kills if one.was_killed]
    for command in dict.fromkeys(one.command for one in done):
        own = [one for one in done if one.command == command]
        refused = sum(bool(one.refusal) and not one.faults for one in own)
        faulty = sum(bool(one.faults) for one in own)
        good = len(own) - refused - faulty
        lines.append(f"| `{command}` | {len(own)} | {good} | {refused} | {faulty} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Kill every command in turn until there are enough kills."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(options.seed)
    done: list[Kill] = []
    with tempfile.TemporaryDirectory() as name:
        killer = Killer(Path(name))
        for rank in range(options.kills):
            command = list(COMMANDS)[rank % len(COMMANDS)]
            done.append(killer.kill(command, WAYS[rank // len(COMMANDS) % 2], rng))
            for fault in (*done[-1].faults, done[-1].refusal):
                if fault:
                    print(f"{command}, by {done[-1].way}: {fault}", flush=True)
            if len(done) % len(COMMANDS) == 0 or len(done) == options.kills:
                publish(done)


def publish(done: Sequence[Kill]) -> None:
    """Write the section; also after each round, so that an interrupted campaign leaves a table."""
    text = (
        "Each command is killed with SIGKILL, in turn at a random moment and just before a random "
        "operation that changes its folder; then the same command is repeated. Commands that ended "
        "before they were killed are not counted."
    )
    write_section(SECTION, f"{text}\n\n{table(done)}\n\n{made_on()}")


if __name__ == "__main__":
    main()
