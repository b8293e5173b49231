"""Prediction on a cluster: exactly one row an image, whatever is killed."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow.dataset import dataset
from pyarrow.parquet import read_table

from stainproof import api
from stainproof.errors import ConfigError
from stainproof.scale import prediction
from stainproof.scale.cluster import cluster
from stainproof.scale.prediction import MANIFEST_FILE, Manifest, predict_on_cluster
from tests.common.ray_workers import killed_once, wait_for
from tests.common.tiny import tiny_config

PART_SIZE = 100


@pytest.fixture(scope="module")
def table(trained: Path, phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> pyarrow.Table:
    """The rows of one process."""
    out = tmp_path_factory.mktemp("table") / "table.parquet"
    api.predict(trained, [str(phantoms)], out)
    return read_table(out)


def rows_of(folder: Path) -> pyarrow.Table:
    return dataset(folder).to_table().replace_schema_metadata()


def check_same(found: pyarrow.Table, expected: pyarrow.Table) -> None:
    """Compare names, labels and errors exactly, and probabilities to 1e-5 (or both missing)."""
    assert found.schema.equals(expected.schema)
    for name in found.column_names:
        if name in ("name", "label", "error"):
            assert found[name].equals(expected[name]), name
        else:
            one, two = (table[name].to_numpy() for table in (found, expected))
            np.testing.assert_allclose(one, two, rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("num", [2000, pytest.param(20_000, marks=pytest.mark.campaign)])
def test_a_cluster_gives_the_rows_of_one_process_though_a_worker_is_killed(
    num: int, trained: Path, tmp_path: Path, machines: Any
) -> None:
    cells = api.make_phantoms(tmp_path / "cells", num, seed=2, size_px=32)
    whole, out = tmp_path / "table.parquet", tmp_path / "parts"
    assert api.predict(trained, [str(cells)], whole) == (num, 0)

    def is_midway() -> bool:
        return len(list(out.glob("part-*.parquet"))) >= 5

    with killed_once(is_midway) as killed:
        done = predict_on_cluster(trained, [str(cells)], out, machines.address, part_size=PART_SIZE)
        num_ready = len(list(out.glob("part-*.parquet")))
    assert done == (num, 0) and len(killed) == 1 and num_ready == num // PART_SIZE
    found = rows_of(out)
    assert len(set(found["name"].to_pylist())) == num == len(found)
    check_same(found, read_table(whole))
    manifest = Manifest.read(out / MANIFEST_FILE)
    assert [part.num_rows for part in manifest.parts] == [PART_SIZE] * num_ready


def test_a_lost_machine_loses_no_row(
    trained: Path, phantoms: Path, table: pyarrow.Table, tmp_path: Path, machines: Any
) -> None:
    from tests.ray.conftest import SMALL

    extra = machines.add_node(num_cpus=1, **SMALL)
    out = tmp_path / "parts"
    removed: list[Any] = []

    def track(items: Any, what: str, total: int) -> Any:
        for item in items:
            if not removed:
                removed.append(machines.remove_node(extra, allow_graceful=False))
            yield item

    done = predict_on_cluster(
        trained, [str(phantoms)], out, machines.address, part_size=40, track=track
    )
    assert done == (400, 0) and len(removed) == 1
    check_same(rows_of(out), table)


def test_parts_that_are_there_are_not_predicted_again_and_damaged_ones_are(
    trained: Path, phantoms: Path, table: pyarrow.Table, tmp_path: Path, machines: Any
) -> None:
    def predict() -> dict[str, int]:
        predict_on_cluster(trained, [str(phantoms)], tmp_path, machines.address, part_size=100)
        return {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("part-*")}

    first = predict()
    whole = (tmp_path / "part-00001.parquet").read_bytes()
    (tmp_path / "part-00001.parquet").write_bytes(whole[:-100])
    (tmp_path / "part-00002.parquet").unlink()
    shutil.copy(tmp_path / "part-00000.parquet", tmp_path / "kept")
    again = predict()
    assert {name for name in first if first[name] != again[name]} == {
        "part-00001.parquet",
        "part-00002.parquet",
    }
    (tmp_path / "kept").unlink()
    check_same(rows_of(tmp_path), table)


def test_other_weights_or_images_are_refused_before_anything_is_written(
    trained: Path, phantoms: Path, tmp_path: Path, machines: Any
) -> None:
    other, out = tmp_path / "other", tmp_path / "parts"
    api.train(phantoms, other, tiny_config("training.epochs=1", seed=1))
    some = sorted(map(str, phantoms.rglob("*.png")))[:50]
    predict_on_cluster(trained, some, out, machines.address)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    for run, images in ((other, some), (trained, some[:40])):
        with pytest.raises(ConfigError, match=r"parts: holds predictions of other images"):
            predict_on_cluster(run, images, out, machines.address)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_an_image_that_cannot_be_read_is_a_row_and_an_npz_file_a_part(
    trained: Path, phantoms: Path, tmp_path: Path, machines: Any
) -> None:
    images = np.zeros((7, 32, 32, 3), np.uint8)
    np.savez(tmp_path / "cells.npz", images=images, labels=np.zeros(7))
    (tmp_path / "bad.png").write_text("no image")
    good = sorted(map(str, phantoms.rglob("*.png")))[:3]
    given = [*good, str(tmp_path / "bad.png"), str(tmp_path / "cells.npz"), *good]
    out, whole = tmp_path / "parts", tmp_path / "table.parquet"
    done = predict_on_cluster(trained, given, out, machines.address)
    assert done == api.predict(trained, given, whole) == (14, 1)
    check_same(rows_of(out), read_table(whole))
    sizes = [part.num_rows for part in Manifest.read(out / MANIFEST_FILE).parts]
    assert sizes == [4, 7, 3]


def test_a_count_on_a_cluster_is_that_of_one_process(
    trained: Path, phantoms: Path, tmp_path: Path, machines: Any
) -> None:
    cells = tmp_path / "cells"
    shutil.copytree(phantoms, cells)
    (cells / "bad.png").write_text("no image")
    sure = sorted(cells.rglob("*.png"))[7]
    (tmp_path / "confirmed.csv").write_text(f"name,confirmed\n{sure},{sure.parent.name}\n")
    here, there = (
        api.count(
            trained,
            [str(cells)],
            tmp_path / name,
            confirmed=tmp_path / "confirmed.csv",
            ray=address,
        )
        for name, address in (("here", ""), ("there", machines.address))
    )
    assert here.num_unreadable == there.num_unreadable == 1
    assert here.classes == there.classes
    rows, pages = (
        [(tmp_path / side / name).read_text() for side in ("here", "there")]
        for name in ("cells.csv", "count.html")
    )
    assert sorted(rows[0].splitlines()) == sorted(rows[1].splitlines())
    assert pages[0].count("<img") == pages[1].count("<img") > 0


def test_no_more_parts_are_in_flight_than_two_a_core(
    trained: Path, phantoms: Path, tmp_path: Path, machines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, most = [0], [0]

    def divide(names: Any, part_size: int) -> Any:
        class Parts(list[Any]):
            def __iter__(self) -> Any:
                for part in super().__iter__():
                    taken[0] += 1
                    yield part

        return Parts(names[start : start + 10] for start in range(0, len(names), 10))

    def track(items: Any, what: str, total: int) -> Any:
        for ended, item in enumerate(items):
            most[0] = max(most[0], taken[0] - ended)
            yield item

    monkeypatch.setattr(prediction, "_divide", divide)
    with cluster(machines.address) as there:  # Ray counts a lost machine for some seconds
        wait_for(lambda: there.num_cores == 2)
    predict_on_cluster(trained, [str(phantoms)], tmp_path, machines.address, track=track)
    assert taken[0] == 40 and most[0] <= 5  # four in flight, and the one that has just ended
