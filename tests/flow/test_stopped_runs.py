"""A training that was stopped goes on by the same command: after its last epoch, or anew."""

import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stainproof import Classifier, api, cli, train
from stainproof.errors import CheckpointError, ConfigError
from stainproof.runs.folder import RunFolder
from stainproof.training.loop import Step
from tests.common.cells import write_cells
from tests.common.signals import call_handler, kept_handlers
from tests.common.tiny import TINY, set_options, tiny_config

pytestmark = pytest.mark.slow

SETTINGS = ("training.batch_size=8",)  # several steps an epoch
CONFIG = tiny_config(*SETTINGS)
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class Killed(BaseException):
    """Ends a training as a kill does: nothing handles it."""


def kill(step: Step) -> None:
    raise Killed


def kill_in_the_second_epoch(step: Step) -> None:
    if step.epoch == 2:
        raise Killed


def interrupt(step: Step) -> None:
    call_handler()


STOPS = {"killed": kill, "interrupted": interrupt}


def stop(source: Path, run: Path, on_step: Callable[[Step], None], **arguments: Any) -> None:
    """Train until the step hook stops it."""
    try:
        train(source, run, CONFIG, on_step=on_step, **arguments)
    except Killed:
        (run / ".training.lock").touch()  # as a kill leaves it


@pytest.fixture(scope="module")
def whole(shared_cell_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing stopped."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    train(shared_cell_folder, run, CONFIG)
    return run


def has_same_weights(run: Path, whole: Path) -> bool:
    return all(
        (run / name).read_bytes() == (whole / name).read_bytes()
        for name in ("best.safetensors", "last.safetensors", "best.onnx", "splits.csv")
    )


@pytest.mark.parametrize("how", STOPS)
def test_a_run_stopped_in_its_first_epoch_begins_anew(
    shared_cell_folder: Path, tmp_path: Path, whole: Path, how: str
) -> None:
    run = tmp_path / "run"
    stop(shared_cell_folder, run, STOPS[how])
    with pytest.raises(CheckpointError, match="nothing to resume; without --resume it begins anew"):
        train(shared_cell_folder, run, resume=True)
    said: list[str] = []
    card = train(shared_cell_folder, run, CONFIG, say=said.append)
    assert f"{run}: finished no epoch; begins anew" in said
    assert card.stopped == "all 2 epochs done"
    assert has_same_weights(run, whole)


def test_a_run_interrupted_in_its_first_epoch_is_usable(
    shared_cell_folder: Path, tmp_path: Path
) -> None:
    card = train(shared_cell_folder, tmp_path / "run", CONFIG, on_step=interrupt)
    assert (card.stopped, card.num_epochs) == ("interrupted", 1)
    Classifier.load(tmp_path / "run")
    assert (tmp_path / "run" / "report.html").exists()


def test_a_run_killed_after_its_first_epoch_is_resumed(
    shared_cell_folder: Path, tmp_path: Path, whole: Path
) -> None:
    run = tmp_path / "run"
    stop(shared_cell_folder, run, kill_in_the_second_epoch)
    said: list[str] = []
    train(shared_cell_folder, run, CONFIG, say=said.append)
    assert f"{run}: goes on after epoch 1, where it was stopped" in said
    assert has_same_weights(run, whole)


def test_a_run_killed_while_its_report_is_made_is_finished(
    shared_cell_folder: Path, tmp_path: Path, whole: Path
) -> None:
    run = shutil.copytree(whole, tmp_path / "run")
    (run / "report.html").unlink()
    train(shared_cell_folder, run, CONFIG)
    assert (run / "report.html").exists() and has_same_weights(run, whole)


@pytest.mark.parametrize("on_step", [kill, kill_in_the_second_epoch])
@pytest.mark.parametrize("other", ["settings", "source", "audit"])
def test_another_training_does_not_take_over_a_stopped_run(
    shared_cell_folder: Path, tmp_path: Path, on_step: Callable[[Step], None], other: str
) -> None:
    run = tmp_path / "run"
    stop(shared_cell_folder, run, on_step)
    before = {path: path.read_bytes() for path in run.rglob("*.*") if path.is_file()}
    if other == "settings":
        with pytest.raises(ConfigError, match=r"other settings \(training.epochs: 2 -> 3\)"):
            train(shared_cell_folder, run, tiny_config(*SETTINGS, "training.epochs=3"))
    elif other == "audit":
        with pytest.raises(ConfigError, match="other settings \\(--audit: False -> True\\)"):
            train(shared_cell_folder, run, CONFIG, audited=True)
    else:
        with pytest.raises(CheckpointError, match="begun on other images"):
            train(write_cells(tmp_path / "others", num_a_class=6), run, CONFIG)
    after = {path: path.read_bytes() for path in run.rglob("*.*") if path.is_file()}
    before.pop(run / ".training.lock", None)
    after.pop(run / ".training.lock", None)
    assert after == before


@pytest.mark.parametrize("on_step", [kill, kill_in_the_second_epoch])
def test_a_stopped_run_keeps_its_audit(
    shared_cell_folder: Path,
    tmp_path: Path,
    on_step: Callable[[Step], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = tmp_path / "run"
    stop(shared_cell_folder, run, on_step, audited=True)
    monkeypatch.setattr(api, "write_audit", None)
    with pytest.raises(ConfigError, match="--audit: True -> False"):
        train(shared_cell_folder, run, CONFIG)
    assert train(shared_cell_folder, run, CONFIG, audited=True).num_epochs == 2


def test_a_finished_run_is_not_trained_again(shared_cell_folder: Path, whole: Path) -> None:
    with pytest.raises(ConfigError, match="already holds a run; add --resume"):
        train(shared_cell_folder, whole, CONFIG)


def test_weights_without_a_state_are_not_overwritten(
    shared_cell_folder: Path, tmp_path: Path, whole: Path
) -> None:
    run = shutil.copytree(whole, tmp_path / "run")
    (run / "state.safetensors").unlink()
    (run / "report.html").unlink()
    with pytest.raises(ConfigError, match="already holds a run; choose another"):
        train(shared_cell_folder, run, CONFIG)


@pytest.mark.parametrize("number", EXIT_CODES)
def test_an_interrupted_training_has_the_exit_code_of_its_signal(
    shared_cell_folder: Path,
    tmp_path: Path,
    number: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> Any:
        options["on_step"] = lambda step: call_handler(number)
        return usual_train(*arguments, **options)

    usual_train = api.train
    monkeypatch.setattr(api, "train", interrupted)
    words = ["train", str(shared_cell_folder), "--out", str(tmp_path / "run"), *set_options(*TINY)]
    monkeypatch.setattr(sys, "argv", ["stainproof", *words])
    with kept_handlers(), pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == EXIT_CODES[number]
    out, err = capfd.readouterr()
    assert "interrupted after 1 epoch" in out
    assert err.endswith("stainproof: interrupted; the same command continues\n")
    assert RunFolder(tmp_path / "run").report.exists()
