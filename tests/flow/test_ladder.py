"""The ladder and its queue on small synthetic cells."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stainproof import api
from stainproof.cli import console
from stainproof.config.presets import make_config
from stainproof.errors import CheckpointError, ConfigError
from stainproof.search import ladder as ladders
from stainproof.search.experiment import Experiment, Row
from stainproof.search.ladder import RUNGS, ladder
from stainproof.search.ladder_page import TOO_SHORT, RungResult, render_ladder
from stainproof.search.queue import read_rows, run_queue
from stainproof.training.loop import Step
from tests.common.signals import call_handler
from tests.common.tiny import TINY

pytestmark = pytest.mark.slow

ONE_EPOCH = (*TINY, "training.epochs=1")


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    api.make_phantoms(folder / "home", 80, seed=1, size_px=32)
    api.make_phantoms(folder / "other", 40, seed=2, size_px=32, lab="other")
    return folder


def queue(cells: Path, folder: Path, experiments: list[Experiment], **options: Any) -> list[Row]:
    return run_queue(
        experiments, cells / "home", [cells / "other"], folder / "runs", folder / "rows.jsonl",
        **options,
    )  # fmt: skip


def experiment(name: str, *assignments: str) -> Experiment:
    return Experiment(name=name, assignments=(*ONE_EPOCH, *assignments))


def test_every_rung_has_settings_that_can_be_built() -> None:
    for rung in RUNGS:
        make_config(network=rung.network, assignments=rung.assignments)
    assert [rung.reported for rung in RUNGS[:6]] == [0.20, 0.25, 0.53, 0.71, 0.80, 0.88]


def test_a_queue_writes_each_row_at_once_and_resumes_after_a_kill(
    cells: Path, tmp_path: Path
) -> None:
    begun = []

    def stop_at_second(one: Any) -> None:
        begun.append(one.name)
        if len(begun) == 2:
            raise KeyboardInterrupt

    both = [experiment("a"), experiment("b", "augment.recipe=none")]
    with pytest.raises(KeyboardInterrupt):
        queue(cells, tmp_path, both, on_start=stop_at_second)
    assert [row.experiment.name for row in read_rows(tmp_path / "rows.jsonl")] == ["a"]
    begun.clear()
    rows = queue(cells, tmp_path, both, on_start=lambda one: begun.append(one.name))
    assert begun == ["b"]
    assert [row.experiment for row in rows] == both
    assert read_rows(tmp_path / "rows.jsonl") == rows
    assert rows[0].accuracy["other"].value * 40 == pytest.approx(
        round(rows[0].accuracy["other"].value * 40)
    )


@pytest.mark.slow
def test_a_training_killed_within_a_queue_is_resumed(cells: Path, tmp_path: Path) -> None:
    def kill(step: Step) -> None:
        if step.epoch == 2:
            raise RuntimeError("the machine goes down")

    one = experiment("a", "training.epochs=3")
    with pytest.raises(RuntimeError):
        queue(cells, tmp_path, [one], on_step=kill)
    assert queue(cells, tmp_path, [one])[0].num_epochs == 3


@pytest.mark.slow
def test_an_interrupted_training_stops_the_queue_and_is_finished_by_the_next_call(
    cells: Path, tmp_path: Path
) -> None:
    def interrupt(step: Step) -> None:
        if step.epoch == 2:
            call_handler()

    both = [experiment("a", "training.epochs=3"), experiment("b")]
    with pytest.raises(KeyboardInterrupt):
        queue(cells, tmp_path, both, on_step=interrupt)
    assert read_rows(tmp_path / "rows.jsonl") == []
    assert not (tmp_path / "runs" / "b").exists()
    assert [row.num_epochs for row in queue(cells, tmp_path, both)] == [3, 1]


@pytest.mark.slow
def test_a_resumed_training_that_is_killed_is_not_taken_for_a_finished_one(
    cells: Path, tmp_path: Path
) -> None:
    def stop_in(epoch: Any, stop: Any) -> Any:
        def on_step(step: Step) -> None:
            if step.epoch == epoch:
                stop()

        return on_step

    def interrupt() -> None:
        call_handler()

    def kill() -> None:
        raise RuntimeError("the machine goes down")

    one = experiment("a", "training.epochs=4")
    with pytest.raises(KeyboardInterrupt):
        queue(cells, tmp_path, [one], on_step=stop_in(2, interrupt))
    with pytest.raises(RuntimeError):
        queue(cells, tmp_path, [one], on_step=stop_in(3, kill))
    assert queue(cells, tmp_path, [one])[0].num_epochs == 4


@pytest.mark.slow
def test_a_training_interrupted_in_its_first_epoch_is_begun_again(
    cells: Path, tmp_path: Path
) -> None:
    one = experiment("a", "training.epochs=2", "training.batch_size=16")
    whole = queue(cells, tmp_path / "whole", [one])[0]

    def interrupt(step: Step) -> None:
        call_handler()

    with pytest.raises(KeyboardInterrupt):
        queue(cells, tmp_path / "cut", [one], on_step=interrupt)
    assert queue(cells, tmp_path / "cut", [one])[0].best.loss == whole.best.loss


def test_a_run_killed_before_its_first_epoch_is_begun_again(cells: Path, tmp_path: Path) -> None:
    def kill(step: Step) -> None:
        raise RuntimeError("the machine goes down")

    with pytest.raises(RuntimeError):
        queue(cells, tmp_path, [experiment("a")], on_step=kill)
    assert (tmp_path / "runs" / "a" / "config.toml").exists()
    assert queue(cells, tmp_path, [experiment("a")])[0].num_epochs == 1


def test_a_run_begun_under_other_settings_is_not_continued_under_these(
    cells: Path, tmp_path: Path
) -> None:
    def kill(step: Step) -> None:
        if step.epoch == 2:
            raise RuntimeError("the machine goes down")

    with pytest.raises(RuntimeError):
        queue(cells, tmp_path, [experiment("a", "training.epochs=3")], on_step=kill)
    with pytest.raises(ConfigError, match="was begun with other settings"):
        queue(cells, tmp_path, [experiment("a", "training.epochs=4")])


@pytest.mark.slow
def test_rows_of_other_images_or_tests_are_not_taken_for_these(cells: Path, tmp_path: Path) -> None:
    queue(cells, tmp_path, [experiment("a")])
    places = tmp_path / "runs", tmp_path / "rows.jsonl"
    for source, test in (("home", "home"), ("other", "other")):
        with pytest.raises(ConfigError, match="holds rows of home measured on other"):
            run_queue([experiment("a")], cells / source, [cells / test], *places)
    other = api.make_phantoms(tmp_path / "other", 48, seed=2, size_px=32)
    with pytest.raises(ConfigError, match="other images named test other"):
        run_queue([experiment("a")], cells / "home", [other], *places)
    again = api.make_phantoms(tmp_path / "home", 88, seed=1, size_px=32)
    with pytest.raises(ConfigError, match="other images named home"):
        run_queue([experiment("a")], again, [cells / "other"], *places)


def test_tests_of_one_name_are_refused_before_anything_runs(cells: Path, tmp_path: Path) -> None:
    places = tmp_path / "runs", tmp_path / "rows.jsonl"
    with pytest.raises(ConfigError, match="tests: each needs a name of its own"):
        run_queue([experiment("a")], cells / "home", [cells / "other", cells / "other"], *places)
    assert not (tmp_path / "runs").exists()


def test_a_queue_measures_what_its_owner_asks_for(cells: Path, tmp_path: Path) -> None:
    def measure(run: Path) -> Any:
        return {"weights": float((run / "best.safetensors").stat().st_size)}

    rows = queue(cells, tmp_path, [experiment("a")], measure=measure)
    assert rows[0].extra["weights"] > 1000


def test_a_row_of_other_settings_is_not_taken_for_this_experiment(
    cells: Path, tmp_path: Path
) -> None:
    queue(cells, tmp_path, [experiment("a")])
    with pytest.raises(ConfigError, match="'a' was run with other settings"):
        queue(cells, tmp_path, [experiment("a", "augment.recipe=none")])


def test_two_experiments_of_one_name_are_refused_before_anything_runs(
    cells: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="a name of its own"):
        queue(cells, tmp_path, [experiment("a"), experiment("a", "seed=1")])
    assert not (tmp_path / "runs").exists()


def test_damaged_rows_are_refused_and_left_as_they_are(cells: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"half a line')
    with pytest.raises(CheckpointError, match="not one row a line"):
        queue(cells, tmp_path, [experiment("a")])
    assert (tmp_path / "rows.jsonl").read_text() == '{"half a line'


@pytest.mark.slow
def test_the_ladder_is_climbed_to_its_end_and_leaves_a_page(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = [replace(rung, assignments=(*ONE_EPOCH, *rung.assignments)) for rung in RUNGS[2::2]]
    monkeypatch.setattr(ladders, "RUNGS", tuple(small))
    seen = []
    rows = ladder(
        cells / "home", [cells / "other"], tmp_path / "ladder", 3600.0,
        on_rung=lambda rung: seen.append(rung.name),
    )  # fmt: skip
    assert seen == [rung.name for rung in small] == [row.experiment.name for row in rows]
    page = (tmp_path / "ladder" / "ladder.html").read_text()
    assert all(rung.what in page for rung in small)
    assert "<svg" in page and "http" not in page.replace("http://www.w3.org", "")
    again = ladder(cells / "home", [cells / "other"], tmp_path / "ladder", 3600.0)
    assert again == rows
    with pytest.raises(ConfigError, match="other settings"):
        ladder(cells / "home", [cells / "other"], tmp_path / "ladder", 7200.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that pass only in a queue: 20 for an experiment besides its training."""
    now_s = [0.0]

    def run(experiments: list[Experiment], *places: Any, **options: Any) -> list[Any]:
        now_s[0] += sum(20 + (one.budget_s or 0) for one in experiments)
        if len(experiments) > 1:
            raise KeyboardInterrupt
        return []

    monkeypatch.setattr(ladders, "run_queue", run)
    monkeypatch.setattr("stainproof.search.ladder.time.monotonic", lambda: now_s[0])
    return now_s


def test_all_steps_together_end_within_the_budget(tmp_path: Path, clock: list[float]) -> None:
    plans: list[Any] = []
    with pytest.raises(KeyboardInterrupt):
        ladder("cells", ["other"], tmp_path, 600.0, on_plan=plans.append)
    assert 0.95 * 600 < clock[0] <= 600
    assert plans[0].overhead_s == pytest.approx(20, abs=0.1)
    used_s = clock[0]
    with pytest.raises(KeyboardInterrupt):
        ladder("cells", ["other"], tmp_path, 600.0, on_plan=plans.append)
    assert plans[1] == plans[0]
    assert clock[0] - used_s < used_s - 20 + 1, "a resumed ladder measures nothing again"


def test_a_budget_without_time_for_training_is_refused(tmp_path: Path, clock: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"--budget: 150 s leave no time for training: each of 8"):
        ladder("cells", ["other"], tmp_path, 150.0)
    assert not list(tmp_path.iterdir())


def test_a_ladder_of_another_budget_or_an_earlier_version_is_refused(
    tmp_path: Path, clock: list[float]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        ladder("cells", ["other"], tmp_path, 600.0)
    with pytest.raises(ConfigError, match=r"other settings: 8 steps in 600 s with seed 0; got 8"):
        ladder("cells", ["other"], tmp_path, 1200.0)
    (tmp_path / "ladder.json").rename(tmp_path / "rows.jsonl")
    with pytest.raises(ConfigError, match="an earlier version"):
        ladder("cells", ["other"], tmp_path, 600.0)


def test_a_step_of_one_epoch_is_marked_in_the_table_and_on_the_page(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = queue(cells, tmp_path, [experiment("a")])
    longer = row.model_copy(update={"num_epochs": 7})
    monkeypatch.setattr(ladders, "RUNGS", RUNGS[:2])
    console.print_ladder([row, longer])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-2] for line in lines[1:3]] == ["1*", "7"]
    assert lines[3] == f"* {TOO_SHORT}"
    results = [RungResult(str(one.num_epochs), None, one) for one in (row, longer)]
    page = render_ladder(results, "home")
    assert "1*</td>" in page and "7</td>" in page and TOO_SHORT in page
    assert TOO_SHORT not in render_ladder(results[1:], "home")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--test", "absent", "--out", "x"], "absent"),
        (["--test", "{cells}/other", "--out", "x", "--budget", "soon"], "no length of time"),
        (["--test", "{cells}/other", "--out", "{cells}/home/ig/phantom_000003.png"], "is a file"),
    ],
)
def test_a_mistake_on_the_ladder_is_one_line_before_any_training(
    cells: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    words = [word.format(cells=cells) for word in options]
    done = subprocess.run(
        [sys.executable, "-m", "stainproof", "ladder", cells / "home", *words],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_rows_are_plain_json_lines(cells: Path, tmp_path: Path) -> None:
    queue(cells, tmp_path, [experiment("a")])
    line = json.loads((tmp_path / "rows.jsonl").read_text())
    assert line["experiment"]["name"] == "a"
    assert set(line["accuracy"]) == set(line["confidence"]) == {"other"}
