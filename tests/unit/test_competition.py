"""A contest's bundle: what Codabench needs is there, and no label where a submission can read."""

import json
import shutil
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from stainproof.contest.competition import PHASES, open_task, write_bundle, write_data
from stainproof.contest.settings import Contest, make_contest
from stainproof.data.dataset import Dataset
from stainproof.errors import ConfigError, DataError
from stainproof.labels import BLOOD_CLASSES
from stainproof.synthetic import phantoms


def cells(number: int, seed: int) -> Dataset:
    images, labels = phantoms.generate(number, seed=seed)
    names = tuple(f"{BLOOD_CLASSES[label]}_{index}.png" for index, label in enumerate(labels))
    return Dataset(f"set {seed}", images, labels, names, BLOOD_CLASSES)


@pytest.fixture(scope="module")
def sets() -> tuple[Dataset, Dataset]:
    return cells(24, seed=1), cells(16, seed=2)


@pytest.fixture(scope="module")
def bundle(sets: tuple[Dataset, Dataset], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("contest") / "bundle"
    write_bundle(
        out,
        dict(zip(PHASES, sets, strict=True)),
        Contest(title="Cells: a $ trial", start=date(2026, 12, 1)),
    )
    return out


@pytest.fixture(scope="module")
def said(bundle: Path) -> dict[str, Any]:
    return yaml.safe_load((bundle / "competition.yaml").read_text())


def test_everything_that_the_contest_names_is_there(bundle: Path, said: dict[str, Any]) -> None:
    named = [said["image"], said["terms"], *(page["file"] for page in said["pages"])]
    kinds = ("input_data", "reference_data", "ingestion_program", "scoring_program")
    named += [task[kind] for task in said["tasks"] for kind in kinds]
    named += [phase["starting_kit"] for phase in said["phases"] if "starting_kit" in phase]
    for name in named:
        path = bundle / name
        assert path.exists(), name
        assert any(path.iterdir()) if path.is_dir() else path.stat().st_size, name
    for program in ("ingestion_program", "scoring_program"):
        command = yaml.safe_load((bundle / program / "metadata.yaml").read_text())["command"]
        python, script, *folders = command.split()
        assert python == "python3"
        assert (bundle / program / script.removeprefix("/app/program/")).is_file()
        assert all(folder.startswith("/app/") for folder in folders)


def test_the_contest_has_two_phases_in_turn_with_a_task_each(said: dict[str, Any]) -> None:
    assert said["version"] == 2 and said["title"] == "Cells: a $ trial"
    development, final = said["phases"]
    assert (development["name"], final["name"]) == ("Development", "Final")
    assert (development["tasks"], final["tasks"]) == ([0], [1])
    assert [task["index"] for task in said["tasks"]] == [0, 1]
    times = [datetime.fromisoformat(phase[end]) for phase in (development, final)
             for end in ("start", "end")]  # fmt: skip
    assert times[0] == datetime(2026, 12, 1) and times[1] == times[2] == datetime(2026, 12, 29)
    assert times[2] < times[3]


def test_the_leaderboard_has_a_column_for_every_figure_that_is_scored(said: dict[str, Any]) -> None:
    columns = said["leaderboards"][0]["columns"]
    assert [column["key"] for column in columns] == ["accuracy", *BLOOD_CLASSES]
    assert [column["index"] for column in columns] == list(range(9))


def test_pages_say_the_contests_own_numbers(bundle: Path) -> None:
    overview = (bundle / "pages" / "overview.md").read_text()
    evaluation = (bundle / "pages" / "evaluation.md").read_text()
    assert overview.startswith("# Cells: a $ trial\n") and "600 seconds" in overview
    assert "24 images, 5 submissions per day, for 28 days" in evaluation
    assert "16 other images, one submission, for 7 days" in evaluation


def test_a_submission_is_given_images_and_nothing_else(
    bundle: Path, sets: tuple[Dataset, Dataset]
) -> None:
    for phase, data in zip(("development", "final"), sets, strict=True):
        (given,) = (bundle / phase / "input_data").iterdir()
        images = np.load(given, allow_pickle=False)
        assert images.dtype == np.uint8 and images.shape == (len(data), 96, 96, 3)
        truth = json.loads((bundle / phase / "reference_data" / "labels.json").read_text())
        by_pixels = {
            rgb.tobytes(): label for rgb, label in zip(data.images, data.labels, strict=True)
        }
        assert truth["labels"] == [by_pixels[rgb.tobytes()] for rgb in images]


def test_the_order_of_the_images_says_nothing_of_how_they_were_listed(
    sets: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    data = sets[0]
    turned = data.subset(np.arange(len(data))[::-1])
    relabelled = replace(data, labels=(data.labels + 1) % 8)
    orders = []
    for name, one in (("a", data), ("b", turned), ("c", relabelled)):
        task = write_data(tmp_path / name, one)
        orders.append((task.input_data / "images.npy").read_bytes())
    assert orders[0] == orders[1] == orders[2]
    truth = json.loads((tmp_path / "a" / "reference_data" / "labels.json").read_text())
    assert truth["labels"] != sorted(truth["labels"])
    assert truth["labels"] != data.labels.tolist()


def test_classes_in_another_order_and_spelling_get_the_contests_labels(
    sets: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    names = ("Platelets", "immature granulocytes")
    data = replace(sets[0].subset(np.array([3, 7])), classes=names, labels=np.array([1, 0]))
    task = write_data(tmp_path / "data", data)
    truth = json.loads((task.reference_data / "labels.json").read_text())
    assert sorted(truth["labels"]) == [3, 7]
    assert truth["classes"] == list(BLOOD_CLASSES)


def test_a_class_that_is_not_the_contests_is_refused_and_nothing_is_left(
    sets: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    strange = replace(sets[1], classes=(*BLOOD_CLASSES[:7], "blast"))
    for out in ("bundle.zip", "bundle"):
        with pytest.raises(DataError, match="class 'blast' unknown to the contest; allowed: ba"):
            write_bundle(tmp_path / out, {PHASES[0]: sets[0], PHASES[1]: strange}, make_contest())
    assert not list(tmp_path.iterdir())


def test_a_phase_is_found_in_a_folder_and_in_a_zip(
    bundle: Path, sets: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    write_bundle(
        tmp_path / "bundle.zip",
        dict(zip(PHASES, sets, strict=True)),
        make_contest(("time_limit_s=7",)),
    )
    for place, limit in ((bundle, 600), (tmp_path / "bundle.zip", 7)):
        with open_task(place, "FINAL") as (task, limit_s):
            assert np.load(task.input_data / "images.npy").shape[0] == 16
            assert limit_s == limit


def test_an_unknown_phase_is_named_with_those_there_are(bundle: Path) -> None:
    with (
        pytest.raises(ConfigError, match="phase 'third' is unknown; allowed: development, final"),
        open_task(bundle, "third"),
    ):
        pass


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "competition.yaml is missing or incomplete"),
        ("phases: [1, 2]", "competition.yaml is missing or incomplete"),
        ("a: b: c", "competition.yaml is missing or incomplete"),
        ("!!python/object/apply:os.system ['true']", "competition.yaml is missing or incomplete"),
    ],
)
def test_a_bundle_that_says_too_little_is_one_error(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "competition.yaml").write_text(text)
    with pytest.raises(DataError, match=message), open_task(tmp_path, "final"):
        pass


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("day=3", "day is unknown; allowed: title, start, days"),
        ("days=0", "days: Input should be greater than or equal to 1, got 0"),
        ("start=soon", "start: .* got 'soon'"),
        ("start=9999-12-20", "start: the contest would end after 9999-12-31, got 9999-12-20"),
    ],
)
def test_a_bad_setting_of_a_contest_is_named(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_contest((assignment,))


def test_a_contest_starts_today_unless_it_says_otherwise() -> None:
    assert make_contest().start == date.today()
    assert make_contest(("start=2027-01-31", "title=Cells")) == Contest(
        title="Cells", start=date(2027, 1, 31)
    )


@pytest.mark.parametrize("place", ["/tmp", "../.."])
def test_a_bundle_that_points_outside_of_itself_is_refused(
    bundle: Path, tmp_path: Path, place: str
) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    said = yaml.safe_load((copy / "competition.yaml").read_text())
    for task in said["tasks"]:
        task["input_data"] = place
    (copy / "competition.yaml").write_text(yaml.safe_dump(said))
    with pytest.raises(DataError, match="missing or incomplete"), open_task(copy, "final"):
        pass
