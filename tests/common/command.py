"""The command line, run in the process of the tests."""

import sys
from dataclasses import dataclass
from typing import Any

import pytest

from stainproof import cli
from tests.common.signals import kept_handlers


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


def run_command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *words: Any
) -> Done:
    """Run a command as `stainproof WORDS` does; it never ends with a traceback."""
    monkeypatch.setattr(sys, "argv", ["stainproof", *map(str, words)])
    capfd.readouterr()
    with kept_handlers(), pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    code = ended.value.code
    assert isinstance(code, int)
    return Done(code, out, err)
