"""Searches on small synthetic cells: killed, resumed, shared, failed, refused."""

import csv
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from stainproof.config.presets import make_config, read_config
from stainproof.errors import CheckpointError, ConfigError
from stainproof.files import write_text
from stainproof.runs.artefact import SCHEMA_VERSION
from stainproof.runs.card import Card
from stainproof.runs.folder import RunFolder
from stainproof.runs.history import EpochRecord
from stainproof.search import search_page
from stainproof.search import trial as trials
from stainproof.search.plan import Plan, make_plan
from stainproof.search.results import Search
from stainproof.search.run import search
from stainproof.search.study import NUM_FAILED, StorageError, Study
from stainproof.training.loop import Step
from tests.common.tiny import TINY, set_options

SPACE = """
[network]
hidden = [0, 16]
dropout = { low = 0.0, high = 0.5 }
"""
SHOWN = {"outcome": "finished", "accuracy": 0.5, "num_parameters": 9, "latency_ms": 1.0}
FIXED = (*TINY, "network.stages=[]", "augment.recipe=none")
POSTGRESQL = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
POSTGRESQL_USER = "postgres"


@pytest.fixture(scope="module")
def place(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `cells` and a `space.toml`, to be read only."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "cells").symlink_to(phantoms)
    (folder / "space.toml").write_text(SPACE)
    return folder


def run_search(place: Path, out: Path, num_trials: int, **options: Any) -> Search:
    fixed = options.pop("fixed", FIXED)
    return search(
        place / "cells", out, num_trials, 60.0, space=place / "space.toml", fixed=fixed, **options
    )


def open_study(place: Path, folder: Path, url: str = "") -> Study:
    plan = make_plan(
        place / "cells", url, place / "space.toml", FIXED, 60.0, 0, lambda items, what, total: items
    )
    return Study(folder, plan, url)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Trials that take no time; faults in the list are raised by one after the other."""
    faults: list[Any] = []

    def train(run: Any, source: Any, config: Any, track: Any, on_step: Any) -> Any:
        fault = faults.pop(0) if faults else None
        if fault == "nan":
            on_step(Step(3, 0.5, float("nan"), 0.1, 1e-3, 100.0, 1.0))
        elif fault:
            raise fault
        record = EpochRecord(
            epoch=1, loss=1, accuracy=0.5, val_loss=1, val_accuracy=0.75, learning_rate=1e-3,
            val_augmented_accuracy=0.25 + config.network.dropout, images_per_s=9, elapsed_s=6,
        )  # fmt: skip
        write_text(run.history, record.model_dump_json() + "\n")
        return SimpleNamespace(data=SimpleNamespace(class_counts={"val": {"a": 8, "b": 8}}))

    monkeypatch.setattr(search_page, "render_search", lambda found, folder: "")
    monkeypatch.setattr(trials, "measure_costs", lambda config, num_classes: (1000, 1.0))
    monkeypatch.setattr(trials, "finish_training", train)
    return faults


def open_storage(folder: Path) -> optuna.Study:
    """Open the trials of a search as Optuna does."""
    name = Plan.read(folder / "study.json").name
    return optuna.load_study(study_name=name, storage=f"sqlite:///{folder / 'study.db'}")


def states(folder: Path) -> list[str]:
    return [trial.state.name for trial in open_storage(folder).get_trials()]


@pytest.mark.slow
def test_a_search_killed_within_a_training_resumes(place: Path, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def kill(step: Step) -> None:
        if step.epoch == 2:
            raise Killed

    out = tmp_path / "study"
    seen: list[Any] = []
    with pytest.raises(Killed):
        run_search(place, out, 1, on_step=kill)
    first = RunFolder(out / "trials" / "0000").read_history()
    assert (states(out), len(first)) == (["RUNNING"], 1)
    found = run_search(place, out, 1, on_trial=lambda found, trial: seen.append(trial))
    assert RunFolder(out / "trials" / "0000").read_history()[:1] == first
    assert [one and one.outcome for one in seen] == [None, "finished"]
    assert Search.read(out / "search.json") == found
    assert "The best of 1 trial classifies" in (out / "search.html").read_text()
    (row,), (best,) = csv.DictReader((out / "trials.csv").open()), found.trials
    assert (float(row["accuracy"]), row["network.hidden"] in "016") == (best.accuracy, True)
    config = read_config(out / "best.toml")
    assert config == make_config(budget_s=60, assignments=(*FIXED, *best.assignments))
    assert config == read_config(out / "configs" / "0000.toml")
    card = Card.read(out / "trials" / "0000" / "card.json")
    assert best.accuracy == card.best.val_augmented_accuracy
    assert best.num_parameters == card.num_parameters
    assert best.num_val_images == sum(card.data.class_counts["val"].values())
    assert best.latency_ms and 0 < best.latency_ms < 100


def test_a_search_of_an_earlier_schema_version_is_refused_in_one_line(
    place: Path, tmp_path: Path
) -> None:
    open_study(place, tmp_path)
    plan = tmp_path / "study.json"
    version = f'"schema_version": {SCHEMA_VERSION}'
    assert version in plan.read_text()
    plan.write_text(plan.read_text().replace(version, '"schema_version": 2'))
    with pytest.raises(CheckpointError, match=r"schema version 2.*another folder"):
        run_search(place, tmp_path, 1)


def test_a_finished_search_is_not_run_again_and_more_trials_are_added(
    quick: list[Any], place: Path, tmp_path: Path
) -> None:
    found = run_search(place, tmp_path, 3)
    again = run_search(place, tmp_path, 2)
    assert again.trials == found.trials
    more = run_search(place, tmp_path, 4)
    assert more.trials[:3] == found.trials
    assert len({one.assignments for one in more.trials}) == 4


@pytest.mark.slow
def test_the_same_seed_draws_the_same_trials_whether_killed_or_not(
    place: Path, tmp_path: Path
) -> None:
    def drawn(name: Any, *nums: Any) -> Any:
        for num in nums:
            study = open_study(place, tmp_path / name)
            while taken := study.claim(num):
                study.finish(taken.trial.model_copy(update=SHOWN))
                taken.lock.release()
        return [one.params for one in study.trials()]

    assert drawn("whole", 10) == drawn("parts", 1, 4, 9, 10)


def test_a_failed_trial_has_a_reason_and_the_search_continues(
    quick: list[Any], place: Path, tmp_path: Path
) -> None:
    quick += ["nan", MemoryError(), RuntimeError("can't allocate\n9 GB"), None]
    found = run_search(place, tmp_path, 4)
    assert [(one.outcome, one.reason) for one in found.trials] == [
        ("failed", "the loss became nan in epoch 3"),
        ("failed", "MemoryError"),
        ("failed", "can't allocate 9 GB"),
        ("finished", ""),
    ]
    assert states(tmp_path) == ["FAIL", "FAIL", "FAIL", "COMPLETE"]
    assert found.front == (3,)


def test_a_search_whose_first_trials_all_fail_is_given_up(
    quick: list[Any], place: Path, tmp_path: Path
) -> None:
    quick += [RuntimeError("no such kernel")] * 9
    with pytest.raises(ConfigError, match=f"first {NUM_FAILED} trials failed.*no such kernel"):
        run_search(place, tmp_path, 30)
    assert states(tmp_path) == ["FAIL"] * NUM_FAILED


def test_an_interrupted_trial_is_resumed_any_number_of_times(
    quick: list[Any], place: Path, tmp_path: Path
) -> None:
    for _ in range(4):
        quick.append(KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            run_search(place, tmp_path, 2)
    assert [one.outcome for one in run_search(place, tmp_path, 2).trials] == ["finished"] * 2


def test_a_trial_that_crashes_its_process_each_time_fails(place: Path, tmp_path: Path) -> None:
    study = open_study(place, tmp_path)
    for _ in range(3):
        taken = study.claim(2)
        assert taken and taken.trial.number == 0
        taken.lock.release()
    taken = study.claim(2)
    assert taken and taken.trial.number == 1
    assert study.trials()[0].reason == "its process crashed 3 times"


def test_a_beaten_trial_is_stopped_and_its_accuracy_so_far_kept(
    quick: list[Any], place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_search(place, tmp_path, 2)
    beaten = iter([None, 1])

    def find_dominating(trial: Any, history: Any, finished: Any) -> Any:
        assert [one.number for one, _ in finished] == [0, 1]
        assert history[-1].val_accuracy == 0.75
        return next(beaten) and finished[1][0]

    train = trials.finish_training  # type: ignore[attr-defined]

    def two_epochs(run: Any, source: Any, config: Any, track: Any, on_step: Any) -> None:
        train(run, source, config, track, on_step)
        for epoch in (2, 2, 3):
            on_step(Step(epoch, 0.5, 1.0, 0.1, 1e-3, 100.0, 1.0))
        raise AssertionError("was to be stopped")

    monkeypatch.setattr(trials, "find_dominating", find_dominating)
    monkeypatch.setattr(trials, "finish_training", two_epochs)
    last = run_search(place, tmp_path, 3).trials[2]
    assert (last.outcome, last.val_accuracy) == ("stopped", 0.75)
    assert last.reason.startswith("pruned after 10 % of its time: trial 1")
    assert states(tmp_path)[2] == "PRUNED"


WORKER = """
import os, signal, sys
from pathlib import Path
from stainproof.search.plan import Plan
from stainproof.search.study import Study

folder, url, how = sys.argv[1:]
SHOWN = {"outcome": "finished", "accuracy": 0.5, "num_parameters": 9, "latency_ms": 1.0}
study = Study(Path(folder), Plan.read(Path(folder) / "study.json"), url)
while taken := study.claim(6):
    print(taken.trial.number, flush=True)
    if how == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    study.finish(taken.trial.model_copy(update=SHOWN))
    taken.lock.release()
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of a database: the one in the folder, or of a PostgreSQL server of our own."""
    if request.param == "sqlite":
        yield ""
        return
    if not POSTGRESQL and not os.environ.get("CI"):
        pytest.skip("needs Debian's postgresql")
    home = Path(tempfile.mkdtemp(prefix="pg"))
    shutil.chown(home, POSTGRESQL_USER)
    options = f"-k {home} -c listen_addresses='' -F"
    server = [POSTGRESQL[0] / "pg_ctl", "-D", home / "data", "-w", "-l", home / "log"]
    as_postgresql(POSTGRESQL[0] / "initdb", "-D", home / "data", "-A", "trust", "-U", "me", "-N")
    as_postgresql(*server, "-o", options, "start")
    yield f"postgresql://me:secret@/postgres?host={home}"
    as_postgresql(*server, "-m", "immediate", "stop")
    shutil.rmtree(home)


def as_postgresql(*words: object) -> None:
    """Run a program as somebody else than root, whom PostgreSQL refuses."""
    user: dict[str, Any] = (
        {"user": POSTGRESQL_USER, "group": POSTGRESQL_USER} if os.getuid() == 0 else {}
    )
    subprocess.run(list(map(str, words)), check=True, stdout=subprocess.DEVNULL, **user)


@pytest.mark.slow
def test_processes_share_trials_and_one_that_dies_loses_none(
    place: Path, tmp_path: Path, url: str
) -> None:
    folder = tmp_path / "study"
    study = open_study(place, folder, url)
    dies, works = (
        subprocess.run(
            [sys.executable, "-c", WORKER, folder, url, how],
            stdout=subprocess.PIPE, text=True, timeout=60,
        )
        for how in ("dies", "works")
    )  # fmt: skip
    assert (dies.returncode, works.returncode) == (-signal.SIGKILL, 0)
    assert dies.stdout.split() == ["0"]
    assert sorted(map(int, works.stdout.split())) == list(range(6))
    assert study.claim(6) is None
    for file in folder.rglob("*"):
        assert file.is_dir() or b"secret" not in file.read_bytes()


@pytest.mark.slow
def test_the_command_has_trials_run_in_processes_and_says_what_they_showed(
    place: Path, tmp_path: Path
) -> None:
    settings = set_options(*FIXED)
    done = subprocess.run(
        [
            sys.executable, "-m", "stainproof", "search", place / "cells", "--out", "study",
            "--trials", "1", "--budget", "60s", "--space", place / "space.toml", "--jobs", "2",
            *settings,
        ],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("trial 0 finished: ") and line.endswith("(trial 0)")
    assert "trials on the Pareto front, of 1:" in done.stdout
    assert states(tmp_path / "study") == ["COMPLETE"]


def test_a_folder_that_holds_something_else_is_refused_as_it_is(
    quick: list[Any], place: Path, tmp_path: Path
) -> None:
    kept = run_search(place, tmp_path / "kept", 1)
    assert kept.front == (0,)
    (tmp_path / "kept" / "trials" / "0000").mkdir(exist_ok=True)

    def refused(
        message: Any, change: Any = lambda folder: None, error: Any = ConfigError, **options: Any
    ) -> None:
        folder = Path(shutil.copytree(tmp_path / "kept", tmp_path / f"copy-{next(numbers)}"))
        change(folder)
        before = {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
        with pytest.raises(error, match=message):
            run_search(place, folder, 1, **options)
        assert {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.*")} == before

    numbers = itertools.count()
    refused("another --seed \\(0\\)", seed=1)
    refused("another --set \\(preprocessing.size_px=32 ", fixed=FIXED[:-1])
    refused("another --storage \\(none\\)", storage="sqlite://")
    refused("no study.json", lambda folder: (folder / "study.json").unlink())
    refused(
        "not a plan file", lambda folder: (folder / "study.json").write_text("{}"), CheckpointError
    )
    broken = b"no database, but long enough to be taken for one" * 40
    refused(
        "not a database", lambda folder: (folder / "study.db").write_bytes(broken), CheckpointError
    )
    refused(
        "0 trials of this search", lambda folder: (folder / "study.db").unlink(), CheckpointError
    )

    def spoil(folder: Any) -> None:
        open_storage(folder).add_trial(optuna.trial.create_trial(values=[0.5, 1.0, 1.0]))

    refused("study.db: trial 1", spoil, CheckpointError)


def test_a_database_that_goes_away_is_no_fault_of_the_trial(
    quick: list[Any], place: Path, tmp_path: Path
) -> None:
    quick.append(StorageError("gone"))
    with pytest.raises(StorageError):
        run_search(place, tmp_path, 1)
    assert [one.outcome for one in run_search(place, tmp_path, 1).trials] == ["finished"]
