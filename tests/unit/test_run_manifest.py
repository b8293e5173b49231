"""The manifest of a run folder: killed writers, readers beside a writer."""

from pathlib import Path

import pytest
import torch

from stainproof.errors import CheckpointError
from stainproof.files import sha256_of
from stainproof.runs.folder import RunFolder
from stainproof.runs.manifest import HashedFolder, Manifest


@pytest.fixture
def folder(tmp_path: Path) -> HashedFolder:
    return HashedFolder(tmp_path / "run")


def test_a_file_that_was_altered_is_refused_and_one_of_an_earlier_version_is_read(
    folder: HashedFolder,
) -> None:
    path = folder.path / "a.txt"
    folder.put_bytes(path, b"one")
    assert folder.read(path) == b"one"
    path.write_bytes(b"two")
    with pytest.raises(CheckpointError, match=r"a\.txt: altered; .* in manifest\.json"):
        folder.read(path)
    folder.manifest.unlink()
    assert folder.read(path) == b"two"


def test_a_writer_that_is_killed_leaves_a_version_that_is_accepted(
    folder: HashedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder.path / "a.txt"
    folder.put_bytes(path, b"one")
    written = Manifest.write

    def killed_before(manifest: Manifest, target: Path) -> None:
        raise KeyboardInterrupt

    def killed_after(manifest: Manifest, target: Path) -> None:
        written(manifest, target)
        raise KeyboardInterrupt

    for end in (killed_before, killed_after, killed_after):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Manifest, "write", end)
            folder.put_bytes(path, b"two")
        assert folder.read(path) == b"one"
    folder.put_bytes(path, b"three")
    assert folder.read(path) == b"three"
    folder.settle()
    assert Manifest.read(folder.manifest).files == {"a.txt": (sha256_of(path),)}


def test_a_reader_beside_a_writer_reads_either_version(
    folder: HashedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder.path / "a.txt"
    folder.put_bytes(path, b"0")
    versions = iter(range(1, 4))
    read = HashedFolder.read_manifest

    def read_before_the_file_is_replaced(one: HashedFolder) -> Manifest | None:
        manifest = read(one)
        with monkeypatch.context() as patch:
            patch.setattr(HashedFolder, "read_manifest", read)
            for version in versions:
                folder.put_bytes(path, b"%d" % version)
                folder.put_bytes(path, b"%d0" % version)
                folder.settle()
                break
        return manifest

    monkeypatch.setattr(HashedFolder, "read_manifest", read_before_the_file_is_replaced)
    assert folder.read(path) == b"30"


def test_weights_that_the_card_names_are_kept_until_it_names_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(tmp_path / "run")
    run.write_weights(run.best, {"w": torch.zeros(2)})
    named = sha256_of(run.best)
    others = dict.fromkeys(("onnx_sha256", "int8_sha256", "calibration_sha256"), "")
    card = type("Card", (), {"weights_sha256": named, **others})
    monkeypatch.setattr(run, "read_card", lambda: card)
    old = run.best.read_bytes()
    for value in (1.0, 2.0):  # a resumed run after one that was killed before its card
        run.write_weights(run.best, {"w": torch.full((2,), value)})
        assert run.read_named(run.best, named) == old
    assert run.read_named(run.best, sha256_of(run.best)) == run.best.read_bytes()
