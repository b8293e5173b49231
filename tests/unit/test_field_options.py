"""Options that contradict each other: one text, whether the command line or Python gives them."""

from pathlib import Path
from typing import Any

import pytest

from stainproof import api
from stainproof.errors import ConfigError
from tests.common.command import run_command


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fields": True, "bits": 12}, "bits is not allowed with fields: the bit depth"),
        ({"fields": True, "ray": "local"}, "ray is not allowed with fields: crop the fields"),
        ({"boxes": "boxes.csv"}, "boxes is allowed with fields only"),
        ({"red_cell_px": 40.0}, "red-cell-px is allowed with fields only"),
    ],
)
def test_options_of_fields_and_single_cells_are_not_mixed(
    options: dict[str, Any],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ConfigError, match=f"^{said}"):
        api.count("no run", ["no cells"], tmp_path / "out", **options)
    words: list[Any] = []
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [value])]
    for command in ("count", "predict"):
        done = run_command(
            monkeypatch, capfd, command, "no run", "no cells", "--out", tmp_path / "out", *words
        )
        assert (done.code, len(done.err.splitlines())) == (2, 1)
        assert done.err.startswith(f"stainproof: {said}")
    assert not list(tmp_path.iterdir())


def test_a_size_of_0_is_refused_with_web_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    web = ("export", "no run", "--web", tmp_path / "page", "--runtime", tmp_path, "--size", 0)
    done = run_command(monkeypatch, capfd, *web)
    assert done.code == 2
    assert done.err == "stainproof: --size goes with --onnx, not with --web\n"
