"""Every mistake a user can make: exit code 2, one line that can be acted on, nothing written."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stainproof import api
from stainproof.labels import BLOOD_CLASSES
from tests.common.command import run_command
from tests.common.image_files import png_header
from tests.common.runs import change_card
from tests.common.tiny import TINY, set_options, tiny_config

OPTIONS = set_options(*TINY, "training.epochs=1", "augment.recipe=none")
SIX_IMAGES = np.zeros((6, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def run(shared_cell_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with weights, made by one epoch on 24 tiny images; tests only read it."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    api.train(shared_cell_folder, folder, tiny_config("training.epochs=1", "augment.recipe=none"))
    return folder


@pytest.fixture
def run_copy(run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(run, tmp_path / "run")


def tree(folder: Path) -> dict[Path, bytes | None]:
    """Return every path below a folder with the bytes of the files."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """Run the command; it must end as a user's mistake does. Return the line it says."""

    def call(*arguments: Any) -> Any:
        before = tree(tmp_path)
        with warnings.catch_warnings(record=True) as shown:
            warnings.simplefilter("default")
            done = run_command(monkeypatch, capfd, *arguments)
        err = done.err
        assert done.code == 2, err
        assert done.out == ""
        *before_work, message = err.splitlines()
        assert message.startswith("stainproof: ") and "stainproof: " not in "".join(before_work)
        assert not before_work or arguments[0] == "train", err  # it describes its source first
        assert [str(warning.message) for warning in shown] == []
        assert tree(tmp_path) == before
        return f"{message}\n"

    return call


# Images that cannot be learnt from or measured on


def no_such_path(folder: Path, cells: Path) -> Any:
    return "gone"


def name_of_two_lines(folder: Path, cells: Path) -> Any:
    return "go\nne"


def name_that_is_too_long(folder: Path, cells: Path) -> Any:
    return "a" * 300


def empty_folder(folder: Path, cells: Path) -> Any:
    (folder / "empty").mkdir()
    return "empty"


def class_folder_without_images(folder: Path, cells: Path) -> Any:
    (cells / "monocyte").mkdir()
    return "cells"


def text_named_jpg(folder: Path, cells: Path) -> Any:
    (cells / "platelet" / "odd.jpg").write_text("a text\nof two lines")
    return "cells"


def truncated_jpeg(folder: Path, cells: Path) -> Any:
    whole = next((cells / "platelet").glob("*.jpg")).read_bytes()
    (cells / "platelet" / "odd.jpg").write_bytes(whole[: len(whole) // 2])
    return "cells"


def png_of_900_megapixels(folder: Path, cells: Path) -> Any:
    (cells / "platelet" / "odd.png").write_bytes(png_header(30_000, 30_000))
    return "cells"


def png_of_120_megapixels(folder: Path, cells: Path) -> str:
    (cells / "platelet" / "odd.png").write_bytes(png_header(12_000, 10_000))
    return "cells"


def labels_out_of_range(folder: Path, cells: Path) -> Any:
    np.savez(
        folder / "set.npz", images=SIX_IMAGES, labels=[0, 1, 2, 0, 1, 8], classes=BLOOD_CLASSES
    )
    return "set.npz"


def npz_without_the_keys(folder: Path, cells: Path) -> Any:
    np.savez(folder / "set.npz", x=SIX_IMAGES, y=[0, 1, 2, 0, 1, 2])
    return "set.npz"


def npz_with_object_arrays(folder: Path, cells: Path) -> Any:
    labels = np.array([0, "b", None, 1, 2, 3], dtype=object)
    np.savez(folder / "set.npz", allow_pickle=True, images=SIX_IMAGES, labels=labels)
    return "set.npz"


def damaged_npz(folder: Path, cells: Path) -> Any:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, SIX_IMAGES.shape, dtype=np.uint8)
    np.savez_compressed(folder / "set.npz", images=images, labels=[0, 1, 2, 0, 1, 2])
    content = bytearray((folder / "set.npz").read_bytes())
    content[60:1000] = b"\xff" * 940
    (folder / "set.npz").write_bytes(content)
    return "set.npz"


def table_without_labels(folder: Path, cells: Path) -> Any:
    (folder / "cells.csv").write_text("path,kind\na.png,ig\n")
    return "cells.csv"


def unknown_kind(folder: Path, cells: Path) -> Any:
    (folder / "cells.zip").write_bytes(b"PK")
    return "cells.zip"


def part_that_is_not_there(folder: Path, cells: Path) -> Any:
    return "cells@exam"


def unknown_size_of_bloodmnist(folder: Path, cells: Path) -> Any:
    return "bloodmnist:29"


BAD_SOURCES = {
    no_such_path: "gone: no such folder or file",
    name_of_two_lines: "go ne: no such folder or file",
    name_that_is_too_long: "aaa: no such folder or file",
    empty_folder: "empty: no class folders in it; expected one folder a class",
    class_folder_without_images: "monocyte: a class folder without images",
    text_named_jpg: "odd.jpg: not an image; allowed: JPEG, PNG, BMP, TIFF, WEBP",
    truncated_jpeg: "odd.jpg: damaged or cut short",
    png_of_900_megapixels: "odd.png: refused before decoding; allowed: 64 megapixels",
    png_of_120_megapixels: "odd.png: refused before decoding; allowed: 64 megapixels",
    labels_out_of_range: "set.npz: label out of range; allowed 0 to 7, got 8",
    npz_without_the_keys: "set.npz: the arrays are x, y; expected images and labels",
    npz_with_object_arrays: "set.npz: holds an object array, which is never unpickled",
    damaged_npz: "set.npz: not a readable npz file",
    table_without_labels: "cells.csv: column 'label' is missing; got: path, kind",
    unknown_kind: "cells.zip: unknown kind of source; allowed: a folder of class folders, .npz",
    part_that_is_not_there: "cells: states no split of its own",
    unknown_size_of_bloodmnist: "allowed: bloodmnist:SIZE with one of 28, 64, 128, 224",
}


@pytest.mark.parametrize("command", ["train", "evaluate"])
@pytest.mark.parametrize("make", BAD_SOURCES, ids=lambda make: make.__name__)
def test_a_bad_source_is_refused(
    refused: Callable[..., Any],
    command: str,
    make: Callable[..., Any],
    cell_folder: Path,
    tmp_path: Path,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    source = make(tmp_path, cell_folder)
    arguments = (run, source) if command == "evaluate" else (source, *OPTIONS)
    assert BAD_SOURCES[make] in refused(command, *arguments, "--out", tmp_path / "out")


@pytest.mark.slow
def test_the_installed_command_ends_the_same_way(cell_folder: Path, tmp_path: Path) -> None:
    source = png_of_120_megapixels(tmp_path, cell_folder)
    done = subprocess.run(
        [sys.executable, "-m", "stainproof", "train", source, "--out", "out"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert sum(line.startswith("stainproof: ") for line in done.stderr.splitlines()) == 1
    assert BAD_SOURCES[png_of_120_megapixels] in done.stderr
    assert not (tmp_path / "out").exists()


def test_one_class_is_nothing_to_learn_from(
    refused: Callable[..., Any], cell_folder: Path, tmp_path: Path
) -> None:
    for name in ("basophil", "platelet"):
        shutil.rmtree(cell_folder / name)
    said = refused("train", cell_folder, "--out", tmp_path / "out", *OPTIONS)
    assert "cells: one class only (lymphocyte)" in said


def test_a_class_too_small_to_part_is_named(
    refused: Callable[..., Any], cell_folder: Path, tmp_path: Path
) -> None:
    for path in sorted((cell_folder / "platelet").iterdir())[1:]:
        path.unlink()
    said = refused("train", cell_folder, "--out", tmp_path / "out", *OPTIONS)
    assert "'platelet' (1 image): none for val" in said and "split" in said


def test_a_class_that_the_model_does_not_know_is_named_with_those_it_knows(
    refused: Callable[..., Any], run: Path, cell_folder: Path, tmp_path: Path
) -> None:
    (cell_folder / "platelet").rename(cell_folder / "blast")
    said = refused("evaluate", run, cell_folder, "--out", tmp_path / "out")
    assert "class 'blast' unknown to the model; allowed: basophil" in said


# Settings


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "fast"], "'--preset': 'fast' is not one of 'tiny', 'small'"),
        (["--network", "vgg"], "'--network': 'vgg' is not one of 'tiny', 'small'"),
        (["--schedule", "slow"], "'--schedule': 'slow' is not one of 'one-cycle', 'an2dl'"),
        (["--budget", "soon"], "budget 'soon'"),
        (["--budget", "20"], "budget '20' is no length of time"),
        (["--budget", "0s"], "budget '0s' is no length of time"),
        (["--budget", ""], "budget '' is no length of time"),
        (["--seed", "-1"], "greater than or equal to 0, got -1"),
        (["--set", "training.epoch=3"], "training.epoch is unknown; allowed: batch_size"),
        (["--set", "training.epochs=0"], "greater than or equal to 1, got 0"),
        (["--set", "epochs"], "write key=value, for instance training.epochs=3"),
        (["--set", "network.stages=[13]"], "takes a multiple of 4 from 12 up, got 13"),
        (["--set", "network.stem=[8,8,8,8,8]"], "6 stages reduce 32 px to less than 1 px"),
        (["--set", "network.stages=[]", "--set", "network.stem=[]"], "one stage"),
        (["--config", "gone.toml"], "gone.toml: not a readable TOML file"),
        (["--config", "unknown.toml"], "unknown.toml: setting training.epoch is unknown; allowed:"),
        (["--config", "cells"], "cells: a folder; allowed: regular files"),
        (
            ["--config", "good.toml", "--preset", "light"],
            "preset: not allowed here; config says it",
        ),
        (["--resume"], "out: no config.toml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_setting_is_refused(
    refused: Callable[..., Any],
    cell_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "unknown.toml").write_text("[training]\nepoch = 3\n")
    (tmp_path / "good.toml").write_text("[training]\nepochs = 3\n")
    tiny = [] if "--config" in arguments or "--resume" in arguments else OPTIONS
    assert message in refused("train", cell_folder, "--out", "out", *tiny, *arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_device_that_is_not_there_is_named(
    refused: Callable[..., Any], cell_folder: Path, tmp_path: Path
) -> None:
    said = refused(
        "train", cell_folder, "--out", tmp_path / "out", *OPTIONS, "--set", "training.device=cuda"
    )
    assert "cuda" in said


# Run folders


def test_a_run_is_never_written_over(
    refused: Callable[..., Any], cell_folder: Path, run_copy: Path
) -> None:
    said = refused("train", cell_folder, "--out", run_copy, *OPTIONS)
    assert "run: already holds a run; add --resume" in said


def test_a_run_that_finished_no_epoch_is_not_begun_with_other_settings(
    refused: Callable[..., Any], cell_folder: Path, run_copy: Path
) -> None:
    for name in ("state.safetensors", "card.json"):
        (run_copy / name).unlink()
    said = refused("train", cell_folder, "--out", run_copy, *OPTIONS, "--seed", 3)
    assert "run: already holds a run with other settings (seed: 0 -> 3); choose another" in said


def test_a_file_is_no_run_folder(
    refused: Callable[..., Any], cell_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("mine")
    assert "out" in refused("train", cell_folder, "--out", tmp_path / "out", *OPTIONS)
    assert "out" in refused("train", cell_folder, "--out", tmp_path / "out" / "deeper", *OPTIONS)


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def set_in_card(path: Path, **values: dict[str, str] | int | list[str]) -> None:
    """Change a card as a run of an earlier version has it, without a manifest."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    (path.parent / "manifest.json").unlink()


BAD_RUNS = {
    "missing": (lambda run: shutil.rmtree(run), "run: no such run folder"),
    "without card": (lambda run: (run / "card.json").unlink(), "card.json: missing or unreadable"),
    "card is no JSON": (lambda run: (run / "card.json").write_text("{"), "card.json: altered"),
    "card of another version": (
        lambda run: set_in_card(run / "card.json", schema_version=999),
        "card.json: has schema version 999",
    ),
}
BAD_WEIGHTS = {
    "card of another network": (
        lambda weights: change_card(weights.parent, classes=("a", "b")),
        "made for another network",
    ),
    "without weights": (lambda weights: weights.unlink(), "missing; the run folder is incomplete"),
    "altered weights": (alter, "altered; its SHA-256"),
}


@pytest.mark.parametrize("command", ["evaluate", "predict"])
@pytest.mark.parametrize("fault", BAD_RUNS)
def test_a_bad_run_folder_is_refused(
    refused: Callable[..., Any],
    command: str,
    fault: str,
    run_copy: Path,
    cell_folder: Path,
    tmp_path: Path,
) -> None:
    damage, message = BAD_RUNS[fault]
    damage(run_copy)
    out = tmp_path / ("out.csv" if command == "predict" else "out")
    assert message in refused(command, run_copy, cell_folder, "--out", out)


@pytest.mark.parametrize(
    ("engine", "weights"),
    [
        ("torch", "best.safetensors"),
        ("onnxruntime", "best.onnx"),
        ("openvino", "best.onnx"),
    ],
)
@pytest.mark.parametrize("fault", BAD_WEIGHTS)
@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_bad_weights_are_refused(
    refused: Callable[..., Any],
    command: str,
    engine: str,
    weights: str,
    fault: str,
    run_copy: Path,
    cell_folder: Path,
    tmp_path: Path,
) -> None:
    damage, message = BAD_WEIGHTS[fault]
    damage(run_copy / weights)
    arguments = (run_copy, cell_folder, "--out", tmp_path / "out.csv", "--engine", engine)
    assert f"{weights}: {message}" in refused(command, *arguments)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: shutil.rmtree(run), "run: no such run folder"),
        (lambda run: (run / "card.json").unlink(), "card.json: missing or unreadable"),
        (lambda run: (run / "config.toml").unlink(), "config.toml"),
        (lambda run: (run / "history.jsonl").write_text("{}\n"), "history.jsonl"),
        (lambda run: (run / "home/val/eval.json").write_text("{"), "eval.json: not an"),
    ],
    ids=["missing", "no card", "no config", "bad history", "bad evaluation"],
)
def test_a_report_of_a_damaged_run_folder_is_refused(
    refused: Callable[..., Any], run_copy: Path, damage: Callable[..., Any], message: str
) -> None:
    damage(run_copy)
    assert message.removesuffix(" an") in refused("report", run_copy)


def test_a_report_with_an_evaluation_that_is_not_there_is_refused(
    refused: Callable[..., Any], run_copy: Path, tmp_path: Path
) -> None:
    assert "gone/eval.json" in refused("report", run_copy, "--eval", tmp_path / "gone")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "state.safetensors").unlink(), "there is nothing to resume"),
        (lambda run: (run / "state.safetensors").write_bytes(b"\0" * 64), "state.safetensors: alt"),
        (lambda run: (run / "splits.csv").unlink(), "splits.csv: the run was begun on other"),
        (lambda run: alter(run / "splits.csv"), "splits.csv: the run was begun on other"),
        (lambda run: (run / "history.jsonl").write_text("{}\n"), "history.jsonl"),
        (lambda run: (run / "config.toml").write_text("[training]\nx = 1"), "training.x is unkn"),
    ],
    ids=["no state", "bad state", "no split", "altered split", "bad history", "bad config"],
)
def test_a_run_that_cannot_go_on_is_refused(
    refused: Callable[..., Any],
    run_copy: Path,
    shared_cell_folder: Path,
    damage: Callable[..., Any],
    message: str,
) -> None:
    damage(run_copy)
    assert message in refused("train", shared_cell_folder, "--out", run_copy, "--resume")


@pytest.mark.parametrize("option", [["--seed", "1"], ["--preset", "light"], ["--config", "x.toml"]])
def test_a_resumed_run_keeps_its_settings(
    refused: Callable[..., Any], run_copy: Path, shared_cell_folder: Path, option: list[str]
) -> None:
    said = refused("train", shared_cell_folder, "--out", run_copy, "--resume", *option)
    assert f"{option[0].removeprefix('--')}: not allowed here; a resumed run keeps its own" in said


# Networks of timm, where timm is not installed


@pytest.fixture
def without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)


def test_a_backbone_without_timm_is_refused_with_what_to_install(
    refused: Callable[..., Any], cell_folder: Path, tmp_path: Path, without_timm: None
) -> None:
    backbone = ("--set", "network.backbone=resnet18")
    said = refused("train", cell_folder, "--out", tmp_path / "out", *backbone)
    assert "'resnet18' is a network of timm" in said
    assert "pip install 'stainproof[transfer]'" in said


def test_a_backbone_needs_timm_for_inference_with_torch_only(
    refused: Callable[..., Any],
    run_copy: Path,
    cell_folder: Path,
    tmp_path: Path,
    without_timm: None,
) -> None:
    set_in_card(run_copy / "card.json", network={"backbone": "resnet18"})
    arguments = (str(run_copy), [str(cell_folder)])
    assert api.predict(*arguments, tmp_path / "out.csv", engine="onnxruntime") == (24, 0)
    said = refused(
        "predict", run_copy, cell_folder, "--out", tmp_path / "t.csv", "--engine", "torch"
    )
    assert "'resnet18' is a network of timm" in said


# Phantoms, audits and cleaning


def test_phantoms_never_land_in_a_folder_that_holds_something(
    refused: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    assert "not an empty folder" in refused("phantom", "--out", tmp_path, "--n", 8)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("doctored_margin=0.5", "greater than or equal to 1"),
        ("colour=3", "colour is unknown; allowed: near_duplicate_deviations"),
        ("near_duplicate_deviations", "write key=value"),
    ],
)
def test_a_bad_setting_of_an_audit_is_refused(
    refused: Callable[..., Any], cell_folder: Path, tmp_path: Path, setting: str, said: str
) -> None:
    assert said in refused("audit", cell_folder, "--out", tmp_path / "a", "--set", setting)


def test_an_audit_of_nothing_is_refused(refused: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty" in refused("audit", tmp_path / "empty", "--out", tmp_path / "a")
    assert "gone" in refused("audit", tmp_path / "gone", "--out", tmp_path / "a")


def test_an_audit_that_cannot_be_written_is_refused_before_the_work(
    refused: Callable[..., Any], cell_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    said = refused("audit", cell_folder, "--out", tmp_path / "file")
    assert "file" in said and "cannot be written" in said


def test_cleaning_by_no_audit_is_refused(
    refused: Callable[..., Any], cell_folder: Path, tmp_path: Path
) -> None:
    said = refused("clean", cell_folder, "--audit", tmp_path / "gone", "--out", tmp_path / "c.csv")
    assert "gone" in said
    (tmp_path / "a.csv").write_text("file,kind\nx,y\n")
    said = refused("clean", cell_folder, "--audit", tmp_path / "a.csv", "--out", tmp_path / "c.csv")
    assert "a.csv: a row is no finding" in said


# Search


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trials", "0"], "--trials must be 1 or more, got 0"),
        (["--jobs", "0"], "--jobs must be 1 or more, got 0"),
        (["--budget", "soon"], "budget 'soon' is no length of time"),
        (["--space", "gone.toml"], "gone.toml: not a readable TOML file"),
        (["--set", "network.breadth=3"], "network.breadth is unknown"),
        (["--set", "seed=3"], "--set seed=3: has an option of its own"),
        (["--set", "network.units=3"], "network.units: searched, and fixed by --set"),
        (["--set", "augment.validation=none"], "augment.validation: "),
        (
            ["--set", "training.schedule=plateau"],
            "start_scale below 1 needs training.schedule=one-cycle",
        ),
        (["--storage", "somewhere"], "--storage somewhere: unknown"),
        (["--storage", "oracle://me:secret@host/db"], "--storage oracle://me:***@host/db: unknown"),
        (["--storage", "sqlite:////gone/study.db"], "unable to open database file"),
    ],
)
def test_an_invalid_search_is_refused_before_it_begins(
    refused: Callable[..., Any], cell_folder: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    assert message in refused("search", cell_folder, "--out", tmp_path / "study", *options)


def test_a_search_does_not_overwrite_other_files(
    refused: Callable[..., Any], cell_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    assert "is a file" in refused("search", cell_folder, "--out", tmp_path / "file")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "study.db").write_text("mine")
    said = refused("search", cell_folder, "--out", tmp_path / "folder")
    assert "holds a study.db but no study.json" in said
    assert "gone: no such folder" in refused(
        "search", tmp_path / "gone", "--out", tmp_path / "study"
    )


# Prediction


@pytest.mark.parametrize("name", ["out.xlsx", "out", "out.csv.gz"])
def test_an_unknown_kind_of_table_is_refused(
    refused: Callable[..., Any], run: Path, cell_folder: Path, tmp_path: Path, name: str
) -> None:
    said = refused("predict", run, cell_folder, "--out", tmp_path / name)
    assert f"{name}: unknown kind of table; allowed: .csv, .parquet, .jsonl" in said


@pytest.mark.parametrize("images", ["gone.png", "*.png", "empty", "a" * 300])
def test_images_that_are_not_there_are_named(
    refused: Callable[..., Any], run: Path, tmp_path: Path, images: str
) -> None:
    (tmp_path / "empty").mkdir()
    said = refused("predict", run, tmp_path / images, "--out", tmp_path / "out.csv")
    assert f"{images}: no images there; allowed: image files, folders, globs, .npz" in said


@pytest.mark.parametrize("name", ["folder.csv", "folder.jsonl", "file/out.csv"])
def test_a_table_that_cannot_be_written_is_named(
    refused: Callable[..., Any], run: Path, cell_folder: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "file").write_text("mine")
    said = refused("predict", run, cell_folder, "--out", tmp_path / name)
    assert f"{name}" in said and "cannot be written" in said


def test_an_evaluation_that_cannot_be_written_is_an_error(
    refused: Callable[..., Any], run: Path, cell_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    said = refused("evaluate", run, cell_folder, "--out", tmp_path / "file")
    assert "file" in said and "cannot be written" in said


def test_a_measurement_takes_no_seed_below_zero(
    refused: Callable[..., Any], run: Path, cell_folder: Path, tmp_path: Path
) -> None:
    said = refused("evaluate", run, cell_folder, "--out", tmp_path / "out", "--seed", "-1")
    assert "seed" in said


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a name be any bytes")
def test_a_file_name_that_is_no_text_does_not_stop_a_prediction(
    run: Path, cell_folder: Path, tmp_path: Path
) -> None:
    png = next(cell_folder.rglob("*.png")).read_bytes()
    with open(os.path.join(os.fsencode(cell_folder), b"cell_\xff.png"), "wb") as file:  # noqa: PTH118, PTH123
        file.write(png)
    assert api.predict(run, [str(cell_folder)], tmp_path / "out.csv") == (25, 0)


def test_images_of_odd_kinds_are_predicted_and_an_unreadable_one_is_a_row(
    run: Path, cell_folder: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "odd"
    odd.mkdir()
    Image.new("L", (40, 20), 90).save(odd / "a.png")
    Image.new("RGBA", (8, 8)).save(odd / "b.png")
    Image.new("CMYK", (33, 77)).save(odd / "c.jpg")
    (odd / "d.png").write_bytes(png_header(30_000, 30_000))
    (odd / "e.jpg").write_text("no image")
    assert api.predict(run, [str(odd)], tmp_path / "out.csv") == (5, 2)


def test_a_number_of_bits_that_no_file_has_is_refused(
    refused: Callable[..., Any], run: Path, cell_folder: Path
) -> None:
    said = refused("predict", run, cell_folder, "--out", "table.csv", "--bits", "99")
    assert "bits must be 0 or one of 8, 10, 12, 14, 16, got 99" in said
