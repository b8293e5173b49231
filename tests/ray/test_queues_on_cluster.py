"""Queues and searches on a cluster: what is killed is resumed, with the same weights."""

import random
from pathlib import Path
from typing import Any

import pytest

from stainproof import api
from stainproof.errors import ConfigError
from stainproof.files import sha256_of
from stainproof.runs.folder import RunFolder
from stainproof.search.experiment import Experiment
from stainproof.search.queue import read_rows, run_queue
from stainproof.search.run import search
from tests.common.ray_workers import killed_once
from tests.common.tiny import TINY

SPACE = """
[network]
hidden = [0, 16]
dropout = { low = 0.0, high = 0.5 }
"""
LONGER = (*TINY, "training.epochs=3")


def experiments(num: int) -> list[Experiment]:
    return [Experiment(name=f"seed-{seed}", seed=seed, assignments=LONGER) for seed in range(num)]


def test_eight_trainings_of_which_one_is_killed_have_the_weights_of_one_process(
    phantoms: Path, tmp_path: Path, machines: Any
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    expected = run_queue(experiments(8), phantoms, [phantoms], here, here / "rows.jsonl")

    def is_midway() -> bool:
        """Whether a training has a checkpoint and has not ended."""
        runs = [RunFolder(path) for path in there.glob("seed-*")]
        return any(run.state.exists() and not run.report.exists() for run in runs)

    with killed_once(is_midway) as killed:
        rows = run_queue(
            experiments(8), phantoms, [phantoms], there, there / "rows.jsonl",
            ray=machines.address,
        )  # fmt: skip
    assert len(killed) == 1
    assert [row.experiment.seed for row in rows] == list(range(8))
    assert sorted(row.experiment.seed for row in read_rows(there / "rows.jsonl")) == list(range(8))
    for seed in range(8):
        one, two = (folder / f"seed-{seed}" / "best.safetensors" for folder in (here, there))
        assert sha256_of(one) == sha256_of(two), f"seed {seed}"
    assert [row.accuracy for row in rows] == [row.accuracy for row in expected]


def test_a_queue_that_is_complete_needs_no_cluster(phantoms: Path, tmp_path: Path) -> None:
    rows = run_queue(experiments(1), phantoms, [phantoms], tmp_path, tmp_path / "rows.jsonl")
    again = run_queue(
        experiments(1), phantoms, [phantoms], tmp_path, tmp_path / "rows.jsonl", ray="nowhere:1"
    )
    assert again == rows


def test_a_search_on_several_machines_needs_a_database(
    phantoms: Path, tmp_path: Path, machines: Any
) -> None:
    with pytest.raises(ConfigError, match=r"--storage: trials on several machines need a database"):
        search(phantoms, tmp_path / "search", 2, 1.0, jobs=0, ray=machines.address)


def test_an_audit_on_a_cluster_finds_the_same(
    phantoms: Path, tmp_path: Path, machines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stainproof.scale import measuring

    monkeypatch.setattr(measuring, "PART_SIZE", 70)
    cells = tmp_path / "cells"
    for path in sorted(phantoms.rglob("*.png")):
        copy = cells / path.relative_to(phantoms)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes() if random.Random(path.name).random() > 0.02 else b"bad")
    api.audit(cells, tmp_path / "here")
    summary = api.audit(cells, tmp_path / "there", ray=machines.address)
    assert summary.findings["unreadable"] > 0
    assert (tmp_path / "here" / "audit.csv").read_bytes() == (
        tmp_path / "there" / "audit.csv"
    ).read_bytes()


def test_a_search_whose_worker_is_killed_ends_all_trials(phantoms: Path, tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(SPACE)
    out = tmp_path / "search"

    def is_midway() -> bool:
        return any(out.glob("trials/*/state.safetensors"))

    with killed_once(is_midway) as killed:
        found = search(
            phantoms, out, 4, 60.0, space=tmp_path / "space.toml",
            fixed=(*LONGER, "network.stages=[]"), jobs=0, ray="local",
        )  # fmt: skip
    assert len(killed) == 1
    assert [trial.outcome for trial in found.trials] == ["finished"] * 4
    assert (out / "search.html").exists() and (out / "best.toml").exists()
