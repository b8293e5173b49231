"""A submission is a stranger's program: whatever it does ends in one line; no label is found."""

import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from stainproof import api, cli
from stainproof.contest.competition import competition
from stainproof.contest.scoring import score
from stainproof.errors import SubmissionError
from tests.common.hostile import SIXES, needs_bubblewrap, write_submission

pytestmark = needs_bubblewrap


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells of a contest's size."""
    return api.make_phantoms(tmp_path_factory.mktemp("data") / "cells", 48, seed=2)


@pytest.fixture(scope="module")
def bundle(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("contest") / "bundle"
    competition(cells, cells, out)
    return out


WRONG = {
    "raises": ("raise ValueError('on\\nno')", "model.py, line 5: ValueError: on no"),
    "exits": ("sys.exit(0)", "model.py, line 5: SystemExit: 0"),
    "leaves": ("os._exit(0)", "ended without readable predictions"),
    "interrupts": ("raise KeyboardInterrupt", "ended by signal 2"),
    "crashes": ("os.abort()", "ended by signal 6 (Aborted)"),
    "recurses": ("return self.predict(X)", "RecursionError"),
    "is too long": ("return np.full(len(X) + 1, 6)", "integers of shape (48,), got int64 (49"),
    "is too short": ("return [6]", "integers of shape (48,), got int64 (1,)"),
    "is one-hot": ("return np.zeros((len(X), 8))", "got float64 (48, 8)"),
    "is float": ("return np.full(len(X), 6.0)", "got float64 (48,)"),
    "is text": ("return ['ig'] * len(X)", "got <U2 (48,)"),
    "is nothing": ("return None", "got object ()"),
    "is out of range": ("return np.full(len(X), 8)", "labels from 0 to 7, got 8"),
    "takes all memory": ("np.ones(2**42)", "MemoryError"),
    "fills the disk": ("open('big', 'wb').truncate(2**41)", "File too large"),
    "says too much": ("raise ValueError('x' * 10**6)", "ValueError: xxx"),
    "colours the terminal": ("raise ValueError('\\x1b[31m\\x07')", "ValueError: [31m"),
    "writes predictions itself": (
        "open('../app/output/predictions.txt', 'w').write('6\\n' * 47); os._exit(0)",
        "predictions.txt must contain 48 labels, got 47",
    ),
    "leaves a folder": (
        "os.mkdir('../app/output/predictions.txt'); os._exit(0)",
        "ended without readable predictions",
    ),
}


@pytest.mark.parametrize(("body", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_submission_that_goes_wrong_is_one_line(
    cells: Path,
    tmp_path: Path,
    body: str,
    message: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zipped = write_submission(tmp_path, body)
    arguments = ["stainproof", "score", str(zipped), "--on", str(cells)]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capfd.readouterr()
    assert ended.value.code == 2 and out == ""
    assert err.startswith(f"stainproof: {zipped}: ") and err.count("\n") == 1 and len(err) < 600
    assert message in err and err.rstrip("\n").isprintable()
    assert not Path("/tmp/evil-submission").exists()


@pytest.mark.slow
def test_a_submission_that_does_not_end_is_ended(cells: Path, tmp_path: Path) -> None:
    zipped = write_submission(tmp_path, "while True: pass")
    with pytest.raises(SubmissionError, match="took longer than 2 s"):
        score(zipped, cells, time_limit_s=2)


def test_a_submission_finds_no_label_in_the_files_that_it_is_given(
    bundle: Path, tmp_path: Path
) -> None:
    search = (
        "seen = []\n"
        "for root, _, names in os.walk(os.path.abspath('..')):\n"
        "    seen += [os.path.join(root, name) for name in names]\n"
        "assert any(name.endswith('images.npy') for name in seen)\n"
        "text = b''.join(open(name, 'rb').read() for name in seen if 'npy' not in name)\n"
        "assert b'labels' b'.json' not in text and not any('labels' in name for name in seen)\n"
    )
    scored = score(write_submission(tmp_path, search + SIXES), bundle, phase="final")
    assert scored.accuracy.value == 6 / 48


def test_what_a_submission_writes_elsewhere_is_gone(cells: Path, tmp_path: Path) -> None:
    score(write_submission(tmp_path, f"open('/tmp/evil-submission', 'w')\n{SIXES}"), cells)
    assert not Path("/tmp/evil-submission").exists()


def test_a_model_in_a_folder_of_the_zip_is_found_and_named(cells: Path, tmp_path: Path) -> None:
    zipped = write_submission(tmp_path, SIXES, name="mine/model.py")
    with pytest.raises(SubmissionError, match=r"no model\.py .* mine/"):
        score(zipped, cells)
    zipped = write_submission(tmp_path, SIXES, name="other.py")
    with pytest.raises(SubmissionError, match=r"no model\.py at the top level of the zip$"):
        score(zipped, cells)


def test_a_zip_that_reaches_out_of_its_folder_is_not_even_unpacked(
    cells: Path, tmp_path: Path
) -> None:
    zipped = write_submission(tmp_path, SIXES)
    with zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr("../../../../../../../../tmp/evil-submission", "evil")
    with pytest.raises(SubmissionError, match="outside of its folder"):
        score(zipped, cells)
    assert not Path("/tmp/evil-submission").exists()


def test_a_missing_package_is_named_with_what_helps(cells: Path, tmp_path: Path) -> None:
    zipped = write_submission(tmp_path, "import no_such_package")
    with pytest.raises(SubmissionError, match="no_such_package'; --python"):
        score(zipped, cells)
