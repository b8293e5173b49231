"""What laboratories really have, through the command line: folders, tables, files, mistakes."""

import csv
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stainproof import api
from stainproof.runs.folder import RunFolder
from tests.common.cells import write_medmnist
from tests.common.command import Done, run_command
from tests.common.image_files import write_tiff
from tests.common.pty import on_terminal
from tests.common.tiny import TINY, set_options, tiny_config

pytestmark = pytest.mark.slow

SHORT = set_options(*TINY, "training.epochs=1", "augment.recipe=none", "augment.validation=none")
CELLS = ("basophil", "eosinophil", "lymphocyte", "monocyte")


Command = Callable[..., Done]


@pytest.fixture
def stainproof(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process."""

    return partial(run_command, monkeypatch, capfd)


@pytest.fixture
def train(stainproof: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Train for one epoch; the model is not exported and there is no report."""
    monkeypatch.setattr(api, "finish_run", lambda run, card, parts, track: card)
    return lambda data, out, *words: stainproof("train", data, "--out", out, *SHORT, *words)


@pytest.fixture(scope="module")
def run(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run, to be read only."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    api.train(phantoms, folder, tiny_config("training.epochs=1", "augment.recipe=none"))
    return folder


def refused(done: Done) -> str:
    """Return the one line with which a command refused."""
    assert (done.code, done.out) == (2, ""), done
    line = done.err.splitlines()[-1]
    assert line.startswith("stainproof: ")
    return line


def put(rgb: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path)
    return path


@dataclass
class Pool:
    """Phantom cells of each class, every one given once or with other noise."""

    phantoms: Path
    num_given: int = 0

    def __call__(self, label: str) -> Any:
        cells = sorted((self.phantoms / label).iterdir())
        rgb = np.asarray(Image.open(cells[self.num_given % len(cells)])).astype(int)
        rng = np.random.default_rng(self.num_given)
        self.num_given += 1
        return np.clip(rgb + rng.integers(-6, 7, rgb.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def cell(phantoms: Path) -> Pool:
    return Pool(phantoms)


@pytest.fixture
def folder(cell: Pool, tmp_path: Path) -> Path:
    """Class folders: three classes of six cells."""
    for label in CELLS[:3]:
        for number in range(6):
            put(cell(label), tmp_path / "cells" / label / f"{number}.png")
    return tmp_path / "cells"


def write_table(path: Path, rows: Iterable[Sequence[object]], delimiter: str = ",") -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def rows_of(folder: Path) -> list[tuple[str, str]]:
    """Return path and class of every image."""
    paths = sorted(folder.rglob("*.png"))
    return [(path.relative_to(folder.parent).as_posix(), path.parent.name) for path in paths]


def parts_of(run: Path) -> dict[str, str]:
    """Return name -> part of the split that a run was trained on."""
    with RunFolder(run).splits.open() as file:
        return {row["name"]: row["split"] for row in csv.DictReader(file)}


# Folders


def test_train_and_test_folders_are_the_sources_own_split(
    train: Command, stainproof: Command, run: Path, cell: Pool, tmp_path: Path
) -> None:
    for part, num in (("TRAIN", 6), ("TEST", 2)):
        for label in CELLS:
            for number in range(num):
                put(cell(label), tmp_path / "set" / "images" / part / label / f"{number}.png")
    done = train(tmp_path / "set", tmp_path / "new")
    assert done.code == 0, done
    assert "layout */{split}/{label}/**" in done.err
    assert "the source's own: test 8, train 24" in done.err
    parts = parts_of(tmp_path / "new")
    assert {part for name, part in parts.items() if "/TEST/" in f"/{name}"} == {"test"}
    assert {part for name, part in parts.items() if "/TRAIN/" in f"/{name}"} == {"train", "val"}
    for source, out in ((tmp_path / "set", "a"), (f"{tmp_path / 'set'}@test", "b")):
        shown = stainproof("evaluate", run, source, "--out", tmp_path / out)
        assert shown.code == 0 and "8 images" in shown.out


def cellavision(root: Path, cell: Pool, num_patients: int) -> Path:
    names = ("Neutrophil, segmented", "Lymphocyte", "Lymphocyte, variant form", "Basophil")
    drawn = dict(zip(names, ("neutrophil", "lymphocyte", "monocyte", "basophil"), strict=True))
    for patient in range(num_patients):
        slide = root / f"Patient_{patient:02d}" / "2024-03-05" / "Signed slides"
        for name in names:
            put(cell(drawn[name]), slide / name / f"{patient}.jpg")
        (slide / "Thumbs.db").write_bytes(b"")
    return root


def test_patients_of_a_cellavision_export_are_in_one_split(
    train: Command, cell: Pool, tmp_path: Path
) -> None:
    root = cellavision(tmp_path / "export", cell, 106)
    done = train(root, tmp_path / "run")
    assert done.code == 0, done
    assert "424 images, 4 classes, layout {group}/*/*/{label}/**" in done.err
    assert "106 patients or slides of 4 to 4 images" in done.err
    assert "106 files skipped: system files" in done.err
    parts = parts_of(tmp_path / "run")
    patients = {
        part: {n.split("/")[0] for n, p in parts.items() if p == part} for part in ("train", "val")
    }
    assert len(patients["train"]) + len(patients["val"]) == 106
    assert not patients["train"] & patients["val"]
    assert 8 <= len(patients["val"]) <= 13


def test_masks_beside_images_are_skipped(stainproof: Command, folder: Path) -> None:
    root = folder.parent / "dataset"
    shutil.copytree(folder, root / "images")
    shutil.copytree(folder, root / "masks")
    done = stainproof("look", root)
    assert "18 images, 3 classes, layout */{label}/**" in done.out
    assert "18 files skipped: in masks beside images" in done.out


def test_outputs_and_system_folders_within_the_set_are_skipped(
    stainproof: Command, run: Path, folder: Path
) -> None:
    shutil.copytree(run, folder / "run")
    (folder / "audit").mkdir()
    (folder / "audit" / "audit.csv").write_text("")
    shutil.copytree(folder / "basophil", folder / "basophil" / "@eaDir")
    shutil.copytree(folder / "basophil", folder / "__MACOSX")
    done = stainproof("look", folder)
    assert "18 images, 3 classes" in done.out
    for place in ("run folder run", "audit folder audit", "(@eaDir)", "(__MACOSX)"):
        assert place in done.out


@pytest.mark.parametrize("place", ["copy", "basophil/cells"])
def test_a_copy_of_the_set_within_itself_is_refused(
    place: str, stainproof: Command, folder: Path
) -> None:
    shutil.copytree(folder, folder.parent / "whole")
    shutil.copytree(folder.parent / "whole", folder / place)
    assert "--layout" in refused(stainproof("look", folder))


def test_train_prints_what_look_prints_in_at_most_twelve_lines(
    train: Command, stainproof: Command, folder: Path
) -> None:
    for number, suffix in enumerate((".txt", ".gif", ".heic", ".svs", ".md", ".czi", ".nd2")):
        (folder / "basophil" / f"{number}{suffix}").write_bytes(b"")
    (folder / "Thumbs.db").write_bytes(b"")
    looked = stainproof("look", folder)
    described = looked.out.splitlines()
    assert looked.code == 0 and 5 < len(described) <= 12
    done = train(folder, folder.parent / "run")
    assert done.code == 0
    assert done.err.splitlines()[: len(described)] == described


def test_a_linked_slide_folder_is_read(stainproof: Command, folder: Path) -> None:
    (folder / "monocyte").symlink_to(folder / "basophil")
    away = shutil.copytree(folder / "basophil", folder.parent / "away")
    (folder / "monocyte").unlink()
    (folder / "monocyte").symlink_to(away)
    assert "24 images, 4 classes" in stainproof("look", folder).out


def test_jfif_is_read_and_other_formats_are_counted(stainproof: Command, folder: Path) -> None:
    jpeg = folder / "basophil" / "new.jpg"
    put(np.full((32, 32, 3), 90, np.uint8), jpeg).rename(jpeg.with_suffix(".jfif"))
    for name in ("a.gif", "b.heic", "c.HEIC"):
        (folder / "basophil" / name).write_bytes(b"GIF89a")
    done = stainproof("look", folder)
    assert "19 images" in done.out and "jfif 1" in done.out
    assert "1 file skipped: .gif is not read" in done.out
    assert "2 files skipped: .heic is not read" in done.out


# Manifests


@pytest.mark.parametrize("column", ["patient_id", "Patient", "slide", "subject", "Group"])
def test_a_column_of_patients_is_found(column: str, stainproof: Command, folder: Path) -> None:
    rows = [(*row, f"p{number % 5}") for number, row in enumerate(rows_of(folder))]
    table = write_table(folder.parent / "cells.csv", [("path", "label", column), *rows])
    assert "5 patients or slides of 3 to 4 images" in stainproof("look", table).out


@pytest.mark.parametrize("column", ["split", "subset", "fold"])
def test_a_column_of_splits_is_found(column: str, stainproof: Command, folder: Path) -> None:
    rows = [(*row, "test" if n % 3 else "Train") for n, row in enumerate(rows_of(folder))]
    table = write_table(folder.parent / "cells.csv", [("path", "label", column), *rows])
    shown = stainproof("look", table).out
    assert "the source's own: " in shown and "test 12" in shown and "train 6" in shown


def test_semicolons_common_headers_backslashes_and_one_hot_columns(
    stainproof: Command, folder: Path
) -> None:
    rows = rows_of(folder)
    windows = [(path.replace("/", "\\"), label) for path, label in rows]
    one_hot = [(path, *(int(label == name) for name in CELLS[:3])) for path, label in rows]
    tables = (
        write_table(folder.parent / "a.csv", [("filename", "class"), *windows], ";"),
        write_table(folder.parent / "b.csv", [("filename", *CELLS[:3]), *one_hot]),
    )
    for table in tables:
        done = stainproof("look", table)
        assert done.code == 0, done
        assert "18 images, 3 classes" in done.out and "basophil 6" in done.out
        assert "png 18; 32 x 32 px" in done.out


def test_an_ambiguous_manifest_is_refused_with_both_readings(
    stainproof: Command, folder: Path
) -> None:
    rows = [(path, label, label, "s1", "p1") for path, label in rows_of(folder)]
    header = ("filename", "class", "cell_type", "slide", "patient")
    table = write_table(folder.parent / "cells.csv", [header, *rows])
    said = refused(stainproof("look", table))
    assert "--label-column class or --label-column cell_type" in said
    said = refused(stainproof("look", table, "--label-column", "class"))
    assert "--group-column slide or --group-column patient" in said
    named = ("--label-column", "class", "--group-column", "slide")
    assert stainproof("look", table, *named).code == 0


# Splits


def test_few_uneven_groups_are_balanced_or_what_cannot_be_is_said(
    train: Command, cell: Pool, tmp_path: Path
) -> None:
    sizes = {"p1": 12, "p2": 5, "p3": 3, "p4": 1, "p5": 1}
    for patient, size in sizes.items():
        for label in CELLS[:2]:
            for number in range(size):
                put(cell(label), tmp_path / "cells" / patient / label / f"{number}.png")
    done = train(tmp_path / "cells", tmp_path / "run")
    assert done.code == 0, done
    assert "5 patients or slides, none shared between splits" in done.err
    names = [name for name, part in parts_of(tmp_path / "run").items() if part == "val"]
    assert {name.split("/")[0] for name in names} in ({"p4", "p5"}, {"p3"})
    assert "allow no better" not in done.err
    for label in CELLS[:2]:
        for patient in ("p3", "p4", "p5"):
            shutil.rmtree(tmp_path / "cells" / patient / label)
    done = train(tmp_path / "cells", tmp_path / "run2")
    assert (
        "where whole patients or slides allow no better: basophil 29 %, eosinophil 29 %" in done.err
    )


def test_all_classes_that_are_too_small_are_named_before_an_audit(
    train: Command, folder: Path, cell: Pool
) -> None:
    for label in ("monocyte", "platelet"):
        put(cell(label), folder / label / "only.png")
    done = train(folder, folder.parent / "run", "--audit")
    said = refused(done)
    assert "classes too small to split: 'monocyte' (1 image)" in said
    assert "'platelet' (1 image)" in said
    assert "measuring" not in done.err and not (folder.parent / "run").exists()


def test_turned_copies_stay_in_one_split(train: Command, folder: Path) -> None:
    for path in sorted(folder.rglob("*.png")):
        rgb = np.asarray(Image.open(path))
        put(np.rot90(rgb), path.with_name(f"turned {path.name}"))
        put(rgb[:, ::-1], path.with_name(f"mirrored {path.name}"))
    assert train(folder, folder.parent / "run").code == 0
    parts = parts_of(folder.parent / "run")
    assert set(parts.values()) == {"train", "val"}
    for name, part in parts.items():
        original = name.replace("turned ", "").replace("mirrored ", "")
        assert part == parts[original]


def test_an_evaluation_on_training_images_and_turned_copies_says_so(
    stainproof: Command, run: Path, phantoms: Path, tmp_path: Path
) -> None:
    num_train = list(parts_of(run).values()).count("train")
    shutil.copytree(phantoms, tmp_path / "turned")
    for number, path in enumerate(sorted((tmp_path / "turned").rglob("*.png"))):
        put(np.rot90(np.asarray(Image.open(path)), number % 4), path)
    for source in (phantoms, tmp_path / "turned"):
        done = stainproof("evaluate", run, source, "--out", tmp_path / f"e{source.name}")
        said = f"{num_train} of 120 images are copies of training images"
        assert done.code == 0 and said in done.out
    evaluated = shutil.copytree(run, tmp_path / "copy")
    assert said in api.report(evaluated, [tmp_path / "eturned"]).read_text()


# Files


def test_a_set_of_twelve_bits_is_read_as_one_of_eight(
    train: Command, stainproof: Command, run: Path, folder: Path
) -> None:
    deep = folder.parent / "deep"
    for path in sorted(folder.rglob("*.png")):
        target = deep / path.parent.name / f"{path.stem}.tif"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_tiff(target, np.asarray(Image.open(path)).astype(np.uint16) << 4)
    results = [stainproof("evaluate", run, source) for source in (folder, deep)]
    assert [done.code for done in results] == [0, 0]
    first, second = (done.out.replace("deep", "cells").splitlines() for done in results)
    assert first[:5] == second[:5]
    assert "  18 images: 16-bit file, 12-bit values" in second
    done = train(deep, folder.parent / "run12")
    assert done.code == 0 and "18 images: 16-bit file, 12-bit values" in done.err


def medmnist_like(path: Path, first: int, num_classes: int) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (30, 28, 28, 3), dtype=np.uint8)
    labels = (np.arange(30) % num_classes + first)[:, None]
    parts = {"train": slice(0, 20), "val": slice(20, 25), "test": slice(25, 30)}
    arrays: dict[str, Any] = {f"{part}_images": images[rows] for part, rows in parts.items()}
    arrays |= {f"{part}_labels": labels[rows] for part, rows in parts.items()}
    np.savez(path, **arrays)
    return path


def test_an_npz_file_without_class_names_is_refused(stainproof: Command, tmp_path: Path) -> None:
    images = np.zeros((10, 28, 28, 3), np.uint8)
    np.savez(tmp_path / "mine.npz", images=images, labels=np.arange(10) % 5 + 1)
    said = refused(stainproof("look", tmp_path / "mine.npz"))
    assert "labels 1 to 5" in said and "--classes" in said
    other = medmnist_like(tmp_path / "dermamnist.npz", 0, 5)
    assert "--classes" in refused(stainproof("look", other))
    done = stainproof("look", other, "--classes", "a,b,c,d,e")
    assert done.code == 0 and "30 images, 5 classes" in done.out


def test_the_test_part_of_a_medmnist_file_is_predicted(
    stainproof: Command, run: Path, tmp_path: Path
) -> None:
    done = stainproof(
        "predict", run, write_medmnist(tmp_path / "bloodmnist.npz"), "--out", tmp_path / "p.csv"
    )
    assert (done.code, done.out.split()[0]) == (0, "2")


def test_a_damaged_file_stops_a_training_or_is_left_out_and_listed(
    train: Command, folder: Path
) -> None:
    for label in CELLS[:2]:
        (folder / label / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    said = refused(train(folder, folder.parent / "run"))
    assert "basophil/damaged.png" in said and "eosinophil/damaged.png" in said
    assert "--skip-unreadable" in said and not (folder.parent / "run").exists()
    assert train(folder, folder.parent / "run", "--skip-unreadable").code == 0
    notes = RunFolder(folder.parent / "run").read_card().data.notes
    assert any("2 unreadable images left out: basophil/damaged.png" in note for note in notes)


# Classes


def test_class_maps_in_train_and_evaluate(
    train: Command, stainproof: Command, run: Path, cell: Pool, tmp_path: Path
) -> None:
    drawn = {
        "BA": "basophil",
        "NRBC": "erythroblast",
        "Smudge cell": "platelet",
        "Mono": "monocyte",
    }
    for name, label in drawn.items():
        for number in range(6):
            put(cell(label), tmp_path / "lab" / name / f"{number}.png")
    done = train(tmp_path / "lab", tmp_path / "run", "--map", "haematology")
    assert done.code == 0, done
    assert RunFolder(tmp_path / "run").read_card().classes == (
        "basophil",
        "erythroblast",
        "monocyte",
    )
    said = refused(stainproof("evaluate", run, tmp_path / "lab"))
    assert "'Smudge cell'" in said and "--map haematology" in said
    done = stainproof("evaluate", run, tmp_path / "lab", "--map", "haematology")
    assert done.code == 0 and "18 images" in done.out
    shutil.rmtree(tmp_path / "lab" / "Smudge cell")
    done = stainproof("evaluate", run, tmp_path / "lab", "--out", tmp_path / "again")
    assert done.code == 0 and "NRBC -> erythroblast" in done.out


def test_brackets_in_class_names_are_printed_as_they_are(folder: Path) -> None:
    (folder / "basophil").rename(folder / "[red]basophil[x]")
    command = (sys.executable, "-m", "stainproof", "look", "cells")
    assert "[red]basophil[x] 6" in on_terminal(command, 120, folder.parent)


# Runs


def test_a_run_in_training_is_left_alone(
    train: Command, stainproof: Command, run: Path, folder: Path
) -> None:
    used = shutil.copytree(run, folder.parent / "used")
    new = folder.parent / "new"
    with RunFolder(used).training_lock(), RunFolder(new).training_lock():
        assert "another process is training in this folder" in refused(train(folder, new))
        for words in (
            ("evaluate", used, folder),
            ("quantise", used, folder),
            ("average", used, "--data", folder, "--out", folder.parent / "mean"),
        ):
            assert "another process is training in this folder" in refused(stainproof(*words))


def test_settings_that_were_edited_are_noticed_on_resume(
    stainproof: Command, run: Path, phantoms: Path, tmp_path: Path
) -> None:
    edited = RunFolder(shutil.copytree(run, tmp_path / "run"))
    text = edited.config.read_text()
    assert "val_fraction = 0.1" in text
    edited.config.write_text(text.replace("val_fraction = 0.1", "val_fraction = 0.3"))
    said = refused(stainproof("train", phantoms, "--out", edited.path, "--resume"))
    assert "split.val_fraction: 0.1 -> 0.3" in said


def test_a_failed_audited_training_leaves_nothing_behind(
    train: Command, folder: Path, cell: Pool
) -> None:
    same = cell("platelet")
    for number in range(6):
        put(same, folder / "platelet" / f"{number}.png")
    said = refused(train(folder, folder.parent / "run", "--audit"))
    assert "'platelet'" in said
    assert not (folder.parent / "run").exists()
    shutil.rmtree(folder / "platelet")
    assert train(folder, folder.parent / "run").code == 0
