"""Output of the command line: literal names, narrow terminals, progress."""

import io
import re
import sys
from typing import Any

import pytest
from rich.cells import cell_len

from stainproof.cli import bars as bars_module
from stainproof.cli import console
from stainproof.cli.bars import Bars, SearchBar, progress
from stainproof.cli.terminal import complain, join_fitting, print_table, shorten, visible
from stainproof.evaluation.result import ClassMetrics
from stainproof.progress import LineReporter
from stainproof.runs.artefact import Estimate
from stainproof.training.loop import Step
from tests.common.trials import make_search, make_trial

HOSTILE = "[red]x[/red]\x1b[31m\x07\u202e"
SHOWN = r"[red]x[/red]\x1b[31m\x07\u202e"
LINE_LENGTH = 60


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def as_terminal(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Terminal:
    """Make stderr a terminal of 60 columns."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", "COLUMNS": str(LINE_LENGTH), **environment}.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def step(epoch: int, done: float) -> Step:
    return Step(epoch, done, 1.234, 0.567, 1e-3, 1234.0, 9.0)


def lines_of(written: str) -> list[str]:
    """Return what was shown on the lines of a terminal, without its codes."""
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written))


def estimate(value: float) -> Estimate:
    return Estimate(value=value, low=value - 0.1, high=value)


def metrics(name: str) -> ClassMetrics:
    fields: dict[str, Any] = dict.fromkeys(ClassMetrics.model_fields, estimate(0.875))
    return ClassMetrics.model_construct(**{**fields, "name": name, "num_images": 12})


def test_control_characters_become_visible_and_letters_stay() -> None:
    assert visible(HOSTILE) == SHOWN
    assert visible("Zelle é 細胞 \udcff\x9b") == r"Zelle é 細胞 \udcff\x9b"


def test_names_in_tables_and_messages_are_printed_literally(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console.print_classes([metrics(HOSTILE), metrics("b")])
    complain(f"{HOSTILE}: cannot be read")
    out, err = capsys.readouterr()
    assert SHOWN in out and f"{SHOWN}: cannot be read" in err
    assert "\x1b" not in out + err


def test_a_table_that_does_not_fit_becomes_blocks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    console.print_classes([metrics("immature granulocytes")])
    assert len(capsys.readouterr().out.splitlines()) == 2
    monkeypatch.setenv("COLUMNS", "60")
    console.print_classes([metrics("immature granulocytes")])
    assert capsys.readouterr().out.splitlines() == [
        " immature granulocytes",
        "   images       12",
        "   sensitivity  87.5 % (77.5 to 87.5)",
        "   specificity  87.5 % (77.5 to 87.5)",
        "   precision    87.5 % (77.5 to 87.5)",
    ]


def test_columns_of_wide_letters_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("class", "n"), [("細胞", 1), ("abcdef", 2)])
    header, *rows = capsys.readouterr().out.splitlines()
    assert len({cell_len(line.rsplit(" ", 1)[0]) for line in (header, *rows)}) == 1


def test_texts_are_shortened_to_the_room_there_is() -> None:
    assert shorten("evaluating other", 16) == "evaluating other"
    assert shorten("evaluating others", 16) == "evaluating oth.."
    assert join_fitting(("loss 1", "accuracy 2", "rate 3"), 18) == "loss 1  accuracy 2"


def test_no_line_of_progress_is_wrapped_at_60_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = as_terminal(monkeypatch)
    with progress() as bars:
        for _ in bars.track(range(3), f"evaluating {HOSTILE} {'long ' * 20}", 3):
            bars.progress.refresh()
        for one in (step(1, 0.1), step(1000, 0.5)):
            bars.step(one)
            bars.progress.refresh()
        found = SearchBar(bars, 1000)
        found.trial(make_search([make_trial(1000)]), None)
        bars.progress.refresh()
    text = lines_of(terminal.getvalue())
    assert max(map(cell_len, text)) <= LINE_LENGTH
    assert any("loss 1.234  accuracy 0.567" in line for line in text)
    assert any("evaluating [red]x[/red]\\x1b" in line for line in text)
    assert not any("…" in line for line in text)


def test_no_color_leaves_no_terminal_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = as_terminal(monkeypatch, NO_COLOR="1")
    with progress() as bars:
        list(bars.track(range(3), "reading images", 3))
        bars.step(step(1, 0.5))
    assert terminal.getvalue() == "epoch 1  50 % done  loss 1.234  accuracy 0.567\n"


def test_each_epoch_is_one_line_with_its_last_figures_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress() as bars:
        for one in (step(1, 0.1), step(1, 0.4), step(2, 0.9)):
            bars.step(one)
        bars.announce("step + overlays")
        bars.step(step(1, 0.8))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  loss")[0] for line in lines] == [
        "epoch 1  40 % done",
        "epoch 2  90 % done",
        "step + overlays",
        "epoch 1  80 % done",
    ]


def test_a_long_epoch_is_reported_every_30_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(
        bars_module, "LineReporter", lambda write: LineReporter(write, lambda: now[0])
    )
    bars = Bars()
    for second in range(61):
        now[0] = float(second)
        bars.step(step(1, second / 100))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  loss")[0] for line in lines] == [
        "epoch 1  30 % done",
        "epoch 1  60 % done",
    ]
