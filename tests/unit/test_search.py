"""What a search may draw, what it draws next, and which trials stand out."""

import itertools
import tomllib
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers import RandomSampler
from optuna.trial import FixedTrial

from stainproof.config.presets import make_config
from stainproof.errors import ConfigError, StainproofError
from stainproof.models.network import check_network
from stainproof.provenance import Provenance, without_password
from stainproof.runs.history import EpochRecord
from stainproof.search.propose import front, importances, propose
from stainproof.search.results import Search, Trial
from stainproof.search.run import _be_worker, _pass_faults_on, _work_together
from stainproof.search.search_page import render_search
from stainproof.search.space import (
    DEFAULT_FILE,
    assignments,
    parse_space,
    read_space,
    study_in_memory,
)
from stainproof.search.trial import ENOUGH_TO_JUDGE, beaten_by
from stainproof.training.progressive_resizing import training_sizes_px

SMALL = parse_space(
    tomllib.loads(
        """
        network.dropout = { low = 0.0, high = 0.9 }
        training.epochs = { low = 1, high = 9 }
        augment.recipe = ["none", "stains"]
        """
    )
)


@pytest.fixture(scope="module")
def default_space():
    return parse_space(tomllib.loads(DEFAULT_FILE.read_text()))


def draws(space, num, seed=0):
    study = study_in_memory(["maximize"], RandomSampler(seed=seed))
    for _ in range(num):
        trial = study.ask()
        yield trial, space.draw(trial)


def make_trial(number, accuracy=0.5, num_parameters=1000, latency_ms=1.0, **other):
    params = {"network.dropout": (number * 0.37) % 0.9, "training.epochs": 1 + number % 9}
    params["augment.recipe"] = "stains" if number % 2 else "none"
    fields = {
        "number": number,
        "outcome": "finished",
        "params": params,
        "assignments": assignments(SMALL.draw(FixedTrial(params))),
        "accuracy": accuracy,
        "val_accuracy": accuracy,
        "num_val_images": 200,
        "num_parameters": num_parameters,
        "latency_ms": latency_ms,
    }
    return Trial.model_validate(fields | other)


def epochs(*accuracies, seconds=10.0):
    return [
        EpochRecord(
            epoch=rank + 1, loss=1.0, accuracy=0.5, val_loss=1.0, val_accuracy=0.9,
            val_augmented_accuracy=accuracy, learning_rate=1e-3, images_per_s=1.0,
            elapsed_s=seconds * (rank + 1),
        )
        for rank, accuracy in enumerate(accuracies)
    ]  # fmt: skip


def test_every_draw_of_our_space_can_be_built(default_space):
    kinds = set()
    for _, drawn in draws(default_space, 400):
        config = make_config(assignments=assignments(drawn))
        check_network(config, training_sizes_px(config))
        kinds.add((config.network.unit, config.training.optimizer, len(config.network.stages)))
    assert len(kinds) == 2 * 4 * 2


def test_every_trial_has_all_names_whatever_was_drawn(default_space):
    names = {tuple(sorted(trial.params)) for trial, _ in draws(default_space, 40)}
    assert len(names) == 1


def test_the_preset_lies_in_our_space_and_is_found_where_it_is_drawn(default_space):
    config = make_config()
    drawn = default_space.draw(FixedTrial(default_space.locate(config)))
    again = make_config(assignments=assignments(drawn))
    assert again == config


@pytest.mark.parametrize(
    "assignment", ["network.units=5", "network.stem=[8]", "network.stages=[7]"]
)
def test_settings_outside_the_space_are_not_located(default_space, assignment):
    assert default_space.locate(make_config(assignments=("network.unit=conv", assignment))) is None


def test_a_range_goes_by_the_choice_above_it(default_space):
    rates = {}
    for _, drawn in draws(default_space, 200):
        rates.setdefault(drawn["training.optimizer"], []).append(drawn["training.learning_rate"])
    assert max(rates["lion"]) <= 2e-3 < 1e-2 <= min(rates["sgd"])


def test_a_range_that_goes_by_a_choice_keeps_to_its_steps():
    text = """
        training.optimizer = ["adamw", "muon"]
        training.batch_size = { by = "training.optimizer", adamw = { low = 32, high = 96, step = 32 }, muon = { low = 8, high = 9 } }
        network.dropout = { by = "training.optimizer", adamw = { low = 0.0, high = 0.6, step = 0.2 }, muon = { low = 0.1, high = 0.2 } }
    """  # noqa: E501
    seen = {"training.batch_size": set(), "network.dropout": set()}
    for _, drawn in draws(parse_space(tomllib.loads(text)), 60):
        if drawn["training.optimizer"] == "adamw":
            for key, values in seen.items():
                values.add(drawn[key])
    assert seen == {"training.batch_size": {32, 64, 96}, "network.dropout": {0.0, 0.2, 0.4, 0.6}}
    assert all(isinstance(value, int) for value in seen["training.batch_size"])


def test_the_preset_is_found_in_a_space_of_how_often_an_operation_comes():
    text = "augment.operations.jpeg.probability = { low = 0.0, high = 0.9 }"
    space = parse_space(tomllib.loads(text))
    preset = make_config(assignments=("augment.operations.jpeg.probability=0.3",))
    assert space.locate(preset) == {"augment.operations.jpeg.probability": 0.3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("network.units = { low = 3, high = 1 }", "network.units: low 3 lies above high 1"),
        ("network.units = { low = 1, high = 4, step = 2 }", "steps of 2 from 1 miss 4"),
        ("network.units = { low = 0, high = 4, log = true }", "log takes a low above 0"),
        ("network.units = 3", "network.units"),
        ("network.units = []", "network.units.values"),
        ("network.units = { low = nan, high = 1.0 }", "finite"),
        ("network.units = { low = 1, high = 2, most = 3 }", "network.units.most"),
        ("network.stem = { each = [[8]], least = 2 }", "least 2 is more than the 1 items"),
        ("network.stem = { each = 3 }", "network.stem"),
        ("network.breadth = [1, 2]", "network.breadth is unknown"),
        ("network.units = [1, 99]", "units: Input should be less than or equal to 16, got 99"),
        ("network.stages = { each = [{ low = 10, high = 20 }] }", "a multiple of 4 from 12 up"),
        ("seed = [1, 2]", "seed: cannot be searched"),
        ("split.val_fraction = [0.1, 0.2]", "split.val_fraction: cannot be searched"),
        ("preprocessing.size_px = [32]", "searched, and fixed by --set"),
        ('training.learning_rate = { by = "training.optimizer" }', "no choice that stands above"),
        (
            'training.optimizer = ["sgd", "lion"]\n[training.weight_decay]\n'
            'by = "training.optimizer"\nsgd = { low = 0.0, high = 0.1 }',
            "no range for training.optimizer=lion",
        ),
        ("", "no setting to search"),
        ("network.units = [", "not a readable TOML file"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(tmp_path, text, message):
    path = tmp_path / "space.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_space(path, ("preprocessing.size_px=64",))
    assert message in str(caught.value)
    assert "space.toml" in str(caught.value)


figures = st.tuples(
    st.sampled_from([0.1, 0.2, 0.3]), st.integers(1, 3), st.sampled_from([1.0, 2.0, 4.0])
)


@given(st.lists(figures, min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_the_front_holds_what_nothing_beats(rows):
    trials = [make_trial(number, *row) for number, row in enumerate(rows)]
    kept = front(trials)

    def beats(a, b):
        return a != b and a[0] >= b[0] and a[1] <= b[1] and a[2] <= b[2]

    expected = {i for i, own in enumerate(rows) if not any(beats(other, own) for other in rows)}
    assert set(kept) == expected
    accuracies = [rows[number][0] for number in kept]
    assert accuracies == sorted(accuracies, reverse=True)


def test_on_the_front_a_latency_within_the_noise_is_no_merit():
    trials = [make_trial(0, 0.8, 1000, 1.00), make_trial(1, 0.7, 1000, 0.98)]
    assert front(trials) == (0,)
    assert front([*trials, make_trial(2, 0.7, 1000, 0.5)]) == (0, 2)


def test_only_finished_trials_are_on_the_front():
    stopped = make_trial(0, 0.9, outcome="stopped")
    running = make_trial(1, None, None, None, outcome="running")
    assert front([stopped, running, make_trial(2)]) == (2,)
    assert front([]) == ()


def test_the_same_trials_and_seed_propose_the_same_and_the_preset_comes_first():
    preset = {"network.dropout": 0.25, "training.epochs": 3, "augment.recipe": "none"}
    assert propose([], SMALL, 0, preset) == preset
    trials = [make_trial(number, 0.5 + number / 50, 1000 + number) for number in range(10)]
    assert propose(trials, SMALL, 0) == propose(trials, SMALL, 0)
    assert propose(trials, SMALL, 0) != propose(trials, SMALL, 1)
    assert propose(trials[:4], SMALL, 0) != propose(trials[:5], SMALL, 0)


def test_proposals_go_where_trials_did_well_and_leave_where_they_failed():
    def showed(number, dropout):
        one = make_trial(number, 0.9 - abs(dropout - 0.3))
        params = {**one.params, "network.dropout": dropout, "augment.recipe": "none"}
        failed = {"outcome": "failed", "accuracy": None} if dropout > 0.6 else {}
        return one.model_copy(update={"params": params, **failed})

    trials = [showed(number, dropout) for number, dropout in enumerate(np.linspace(0, 0.9, 14))]
    proposed = [propose(trials, SMALL, seed)["network.dropout"] for seed in range(4)]
    assert max(proposed) < 0.6
    assert np.median(np.abs(np.array(proposed) - 0.3)) < 0.2


def test_what_does_not_count_is_proposed_at_its_usual_value(default_space):
    lengths = set()
    for seed in range(8):
        names = propose([], default_space, seed)
        lengths.add(names["len(network.stages)"])
        if names["len(network.stages)"] == 1:
            assert names["network.stages[1]"] == 96
        if names["len(network.stem)"] == 2:
            assert names["network.stem[2]"] == 32
    assert lengths == {1, 2}


def test_importances_find_the_setting_that_accuracy_hangs_on():
    trials = [make_trial(number, 0.9 if number % 2 else 0.5) for number in range(16)]
    shares = importances(trials, SMALL)
    assert next(iter(shares)) == "augment.recipe"
    assert sum(shares.values()) == pytest.approx(1)
    assert importances(trials[:5], SMALL) == {}


def test_where_all_trials_are_as_accurate_nothing_is_important():
    assert importances([make_trial(number, 1.0) for number in range(16)], SMALL) == {}


def judged(own, others, **costs):
    finished = [
        (make_trial(number, max(curve)), epochs(*curve)) for number, curve in enumerate(others)
    ]
    better = beaten_by(make_trial(99, None, **costs), epochs(*own), finished)
    return None if better is None else better.number


def test_a_trial_is_beaten_when_even_the_greatest_gain_leaves_it_below():
    others = [[0.5, 0.6, 0.9]] + [[0.5, 0.6, 0.7]] * (ENOUGH_TO_JUDGE - 1)
    assert judged([0.45], others) == 0
    assert judged([0.51], others) is None
    assert judged([0.2, 0.55], others) == 0
    assert judged([0.2, 0.61], others) is None


def test_a_trial_is_not_beaten_by_larger_or_slower_ones_nor_while_few_have_finished():
    others = [[0.5, 0.6, 0.9]] + [[0.5, 0.6, 0.7]] * (ENOUGH_TO_JUDGE - 1)
    assert judged([0.1], others, num_parameters=999) is None
    assert judged([0.1], others, latency_ms=0.9) is None
    assert judged([0.1], others) == 0
    assert judged([0.1], others[:-1]) is None


def make_search(trials, **other):
    fields = {
        "source": "cells",
        "num_images": 2000,
        "num_trials": 20,
        "budget_s": 60.0,
        "seed": 0,
        "fixed": (),
        "space": SMALL.describe(),
        "trials": tuple(trials),
        "preset": 0,
        "front": front(trials),
        "importances": importances(trials, SMALL),
        "provenance": Provenance(
            stainproof="0.1.0", commit="0123456789ab", command="stainproof search cells",
            python="3.11", torch="2.13", numpy="2", machine="Some Processor, 2 cores",
            created="2025-03-01T10:00:00+00:00",
        ),
    }  # fmt: skip
    return Search.model_validate(fields | other)


def test_the_page_says_what_was_found_and_how_to_train_it_again():
    trials = [make_trial(n, 0.5 + n / 100, 1000 + 10 * n, 1 + n / 10) for n in range(14)]
    trials.append(make_trial(14, None, outcome="failed", reason="the loss became nan in epoch 2"))
    trials.append(make_trial(15, 0.2, outcome="stopped", reason="out of reach of trial 3"))
    page = render_search(make_search(trials), Path("study"))
    page = page.replace("\N{NO-BREAK SPACE}", " ")
    assert "The best of 16 trials classifies 63.0 %" in page
    assert "settings of the preset reach 50.0 %" in page
    assert "stainproof train cells --out runs/trial-13 --config study/configs/0013.toml" in page
    assert "the loss became nan in epoch 2" in page
    assert "out of reach of trial 3" in page
    assert "14 finished, 1 stopped early, 1 failed; 20 requested" in page
    assert page.count("<svg") == 7
    assert "http" not in page.replace("http://www.w3.org", "")


def test_a_page_without_finished_trials_says_so(tmp_path):
    running = make_trial(0, None, None, None, outcome="running", num_val_images=0)
    page = render_search(make_search([running]), tmp_path)
    assert "No trial has finished yet" in page
    assert "1 running" in page
    assert "No trial yet" in render_search(make_search([]), tmp_path)


def test_the_page_shows_hostile_names_as_text(tmp_path):
    trials = [make_trial(0), make_trial(1, None, outcome="failed", reason="<script>1</script>")]
    page = render_search(make_search(trials, source="<b>$x$ 'cells'"), tmp_path)
    assert "<script>1" not in page
    assert "<b>$x$" not in page


def test_two_trials_are_enough_for_every_figure(tmp_path):
    for accuracies in itertools.permutations((0.1, 0.9)):
        trials = [make_trial(number, value) for number, value in enumerate(accuracies)]
        assert "<svg" in render_search(make_search(trials), tmp_path)


@pytest.mark.parametrize(
    ("codes", "error", "message"),
    [([0, 1], RuntimeError, "ended with"), ([-9, -9], StainproofError, "fewer --jobs")],
)
def test_processes_that_ended_badly_are_told_of(codes, error, message):
    with pytest.raises(error, match=message):
        _pass_faults_on([SimpleNamespace(exitcode=code) for code in codes], SimpleQueue())
    _pass_faults_on([SimpleNamespace(exitcode=code) for code in (None, 0, -9)], SimpleQueue())


class _Worker:
    """A process of a search; the second one is interrupted as it starts."""

    made: ClassVar[list["_Worker"]] = []

    def __init__(self, **how):
        self.pid, self.ended = None, []
        self.made.append(self)

    def start(self):
        if self is self.made[1]:
            raise KeyboardInterrupt
        self.pid = 1

    def terminate(self):
        self.ended.append("terminate")

    def join(self):
        self.ended.append("join")


def test_an_interrupt_while_processes_start_ends_those_that_have_started(monkeypatch):
    context = SimpleNamespace(Process=_Worker, SimpleQueue=lambda: None)
    monkeypatch.setattr("multiprocessing.get_context", lambda method: context)
    monkeypatch.setattr("stainproof.search.run.summarise", lambda *what: make_search([]))
    task = SimpleNamespace(source="cells", num_trials=3)
    with pytest.raises(KeyboardInterrupt):
        _work_together(None, task, 3, lambda found, trial: None)
    assert [worker.ended for worker in _Worker.made] == [["terminate", "join"], [], []]


def test_a_full_disk_is_no_fault_of_the_trial_and_one_line(monkeypatch):
    left, faults = [], SimpleQueue()
    trial = SimpleNamespace(trial=make_trial(3), lock=SimpleNamespace(release=lambda: None))
    study = SimpleNamespace(take=lambda num: trial, leave=left.append)
    task = SimpleNamespace(source="cells", num_trials=9, open=lambda: study)

    def fill(*what):
        raise OSError(28, "No space left on device", "trials/0003/last.safetensors")

    monkeypatch.setattr("stainproof.search.run.write_results", lambda *what: make_search([]))
    monkeypatch.setattr("stainproof.search.run.run_trial", fill)
    monkeypatch.setattr("signal.signal", lambda *what: None)
    with pytest.raises(SystemExit, match="2"):
        _be_worker(task, faults)
    assert faults.get() == "trials/0003/last.safetensors: No space left on device"
    assert left == [3]


def test_a_password_in_an_address_is_not_kept():
    assert without_password("postgresql://me:p/w@host/db") == "postgresql://me:***@host/db"
    assert without_password("postgresql://host/db?password=pw&a=1").endswith("password=***&a=1")
    for harmless in ("postgresql://me@host/db", "sqlite:///x.db", "cells:64", "a=b@c"):
        assert without_password(harmless) == harmless


def test_optuna_says_nothing_on_its_own(capsys):
    study_in_memory(["maximize"])
    assert optuna.logging.get_verbosity() >= optuna.logging.WARNING
    assert capsys.readouterr() == ("", "")
