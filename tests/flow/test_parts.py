"""Prediction in parts without Ray: tasks that run twice and in any order leave one row an image."""

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pyarrow.dataset import dataset
from pyarrow.parquet import read_table

from stainproof import api
from stainproof.errors import ConfigError
from stainproof.scale import prediction
from stainproof.scale.prediction import MANIFEST_FILE, Manifest, predict_on_cluster
from tests.common.tiny import tiny_config


class Repeating:
    """A cluster that runs every task twice, in random order, in this process."""

    def run(self, calls: Iterable[Callable[[], Any]]) -> Iterator[tuple[int, Any]]:
        tasks = list(enumerate(calls))
        order = [*tasks, *tasks]
        random.Random(0).shuffle(order)
        yield from {position: call() for position, call in order}.items()


@contextmanager
def repeating(address: str) -> Iterator[Repeating]:
    yield Repeating()


@pytest.mark.slow
def test_repeated_parts_hold_the_rows_of_predict_once(
    shared_cell_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, cells, out = tmp_path / "run", str(shared_cell_folder), tmp_path / "parts"
    api.train(cells, run, tiny_config("training.epochs=1"))
    api.predict(run, [cells], tmp_path / "table.parquet")
    monkeypatch.setattr(prediction, "cluster", repeating)
    assert predict_on_cluster(run, [cells], out, "local", part_size=5) == (24, 0)
    manifest = Manifest.read(out / MANIFEST_FILE)
    assert [part.num_rows for part in manifest.parts] == [5, 5, 5, 5, 4]
    found = dataset(out).to_table().replace_schema_metadata()
    expected = read_table(tmp_path / "table.parquet").replace_schema_metadata()
    assert found.select(["name", "label", "error"]).equals(
        expected.select(["name", "label", "error"])
    )
    written = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    with pytest.raises(ConfigError, match="holds predictions of other images, weights or options"):
        predict_on_cluster(run, [cells], out, "local", part_size=6)
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == written
