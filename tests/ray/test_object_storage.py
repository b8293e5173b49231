"""Images and parts in an object storage: a local server with the interface of S3."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from moto.server import ThreadedMotoServer
from pyarrow.dataset import dataset
from pyarrow.fs import FileSystem
from pyarrow.parquet import read_table

from stainproof import api
from stainproof.errors import DataError
from stainproof.scale.prediction import predict_on_cluster
from stainproof.scale.storage import list_images


@pytest.fixture(scope="module")
def options() -> Iterator[str]:
    """Start a storage; the options of its addresses."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"?endpoint_override={host}:{port}&scheme=http&allow_bucket_creation=true"
    server.stop()


def filled(storage: FileSystem, cells: list[Path]) -> None:
    storage.create_dir("hospital")
    for index, path in enumerate(cells):
        with storage.open_output_stream(f"hospital/cells/{index:03d}.png") as stream:
            stream.write(path.read_bytes())
    for name in ("cells/bad.png", "cells/notes.txt"):
        with storage.open_output_stream(f"hospital/{name}") as stream:
            stream.write(b"no image")


def test_cells_in_an_object_storage_have_the_rows_of_files(
    trained: Path, phantoms: Path, tmp_path: Path, machines: Any, options: str
) -> None:
    cells = sorted(phantoms.rglob("*.png"))[:60]
    storage, _ = FileSystem.from_uri(f"s3://hospital{options}")
    filled(storage, cells)
    out = f"s3://hospital/parts{options}"
    for _ in range(2):  # the second time all parts are there
        done = predict_on_cluster(
            trained, [f"s3://hospital/cells{options}"], out, machines.address, part_size=25
        )
        assert done == (61, 1)
    found: pyarrow.Table = dataset("hospital/parts", filesystem=storage).to_table().sort_by("name")
    names = found["name"].to_pylist()
    assert names[:2] == ["s3://hospital/cells/000.png", "s3://hospital/cells/001.png"]
    assert names[-1] == "s3://hospital/cells/bad.png"
    assert found["error"][60].as_py().startswith("s3://hospital/cells/bad.png: not an image")
    api.predict(trained, list(map(str, cells)), tmp_path / "table.parquet")
    expected = read_table(tmp_path / "table.parquet")
    classes = ["label", *expected.column_names[2:-1]]
    assert found.select(classes)[:60].to_pylist() == expected.select(classes).to_pylist()


def test_a_place_without_images_is_named_without_options(options: str) -> None:
    with pytest.raises(DataError, match=r"^s3://nowhere/cells: no images there$"):
        list_images(f"s3://nowhere/cells{options}")
