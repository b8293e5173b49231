import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stainproof.config.presets import make_config
from stainproof.errors import CheckpointError
from stainproof.evaluation import metrics
from stainproof.evaluation.result import Evaluation, Mistake
from stainproof.labels import BLOOD_CLASSES
from stainproof.provenance import Provenance
from stainproof.reports.run_report import render
from stainproof.runs.artefact import Estimate
from stainproof.runs.card import Card, DataSummary
from stainproof.runs.folder import RunFolder
from stainproof.runs.history import EpochRecord

PROVENANCE = Provenance(
    stainproof="0.1.0",
    commit="0123456789ab",
    command="stainproof train cells --out runs/first --budget 20m",
    python="3.11.2",
    torch="2.13.0",
    numpy="2.4.0",
    machine="Some Processor 3000, 2 cores, Linux",
    created="2025-03-01T10:00:00+00:00",
)

WEIGHTS = "ab" * 32

HOSTILE = '<script>alert("1")</script>\'$\\frac{'


def write_picture(path: Path, rng: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)).save(path)


def make_run(
    folder: Path,
    classes: tuple[Any, ...] = BLOOD_CLASSES,
    source: str = "ds1",
    num_epochs: int = 30,
    examples: int = 6,
) -> RunFolder:
    rng = np.random.default_rng(0)
    progress = np.linspace(0, 1, num_epochs)
    history = [
        EpochRecord(
            epoch=index + 1,
            loss=0.55 + 1.3 * np.exp(-4 * done) + 0.02 * rng.normal(),
            accuracy=0.9 - 0.6 * np.exp(-4 * done) + 0.004 * rng.normal(),
            val_loss=0.12 + 1.5 * np.exp(-5 * done) + 0.03 * rng.normal(),
            val_accuracy=0.97 - 0.5 * np.exp(-6 * done) + 0.005 * rng.normal(),
            val_augmented_accuracy=0.9 - 0.6 * np.exp(-4 * done) + 0.006 * rng.normal(),
            learning_rate=4e-3 * min(done / 0.3, (1 - done) / 0.7),
            images_per_s=140.0,
            elapsed_s=65.0 * (index + 1),
        )
        for index, done in enumerate(progress)
    ]
    counts = rng.integers(700, 2200, len(classes))
    config = make_config(seed=3)
    Card(
        classes=classes,
        preprocessing=config.preprocessing,
        network=config.network,
        num_parameters=178_344,
        weights_sha256=WEIGHTS,
        best=history[-min(3, num_epochs)],
        num_epochs=num_epochs,
        stopped="time budget of 1200 s used up",
        data=DataSummary(
            source=source,
            num_images=int(counts.sum()),
            sha256="cd" * 32,
            split_sha256="ef" * 32,
            class_counts={
                "train": {n: int(0.9 * c) for n, c in zip(classes, counts, strict=True)},
                "val": {n: int(0.1 * c) for n, c in zip(classes, counts, strict=True)},
            },
            notes=("3 grey images", "11 exact duplicates kept on one side of the split"),
        ),
        seed=3,
        threads=2,
        precision="float32",
        provenance=PROVENANCE,
    ).write(folder / "card.json")
    lines = [f"{record.model_dump_json()}\n" for record in history]
    (folder / "history.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "config.toml").write_text(config.to_toml(), encoding="utf-8")
    for name in classes:
        for rank in range(examples):
            write_picture(folder / "examples" / name.replace("/", "") / f"{rank}.png", rng)
    return RunFolder(folder)


def make_evaluation(
    folder: Path,
    source: str = "validation",
    accuracy: float = 0.97,
    classes: tuple[str, ...] = BLOOD_CLASSES,
    absent: tuple[str, ...] = (),
    num: int = 600,
    num_mistakes: int = 5,
    weights: str = WEIGHTS,
    mistake_name: str = "cell_00017.jpg",
) -> Path:
    rng = np.random.default_rng(len(source))
    present = [index for index, name in enumerate(classes) if name not in absent]
    labels = rng.choice(present, num)
    near = (labels + rng.choice([1, 1, 1, 2, 3], num)) % len(classes)
    predicted = np.where(rng.random(num) < accuracy, labels, near)
    confidence = rng.beta(9, 1.2, num).clip(0.3)[:, None]
    spread = (1 - confidence) / (len(classes) - 1) * np.ones((1, len(classes)))
    probs = np.where(np.eye(len(classes), dtype=bool)[predicted], confidence, spread)
    wrong = np.flatnonzero(predicted != labels)[:num_mistakes]
    mistakes = [
        Mistake(
            name=mistake_name,
            true=classes[labels[index]],
            predicted=classes[predicted[index]],
            confidence=0.98,
            picture=f"{rank:02d}.png",
        )
        for rank, index in enumerate(wrong)
    ]
    for mistake in mistakes:
        write_picture(folder / "mistakes" / mistake.picture, rng)
    Evaluation(
        source=source,
        num_images=num,
        data_sha256="12" * 32,
        weights_sha256=weights,
        classes=classes,
        absent_classes=tuple(absent),
        **vars(metrics.score(labels, probs, classes, seed=0)),
        mistakes=tuple(mistakes),
        notes=("2 images brought from 360x363 to 96x96",),
        bootstrap_seed=0,
        images_per_s=310.0,
        provenance=PROVENANCE.model_copy(
            update={"command": f"stainproof evaluate runs/first {source}"}
        ),
    ).write(folder / "eval.json")
    return folder


class Page(HTMLParser):
    """Elements, text and balance of a page."""

    VOID = frozenset({"meta", "img", "br", "link", "input"})

    def __init__(self, page: Any) -> None:
        super().__init__()
        self.elements: list[Any] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: Any, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: Any, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: Any) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: Any) -> None:
        self.texts.append(data)

    def all(self, tag: Any) -> Any:
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def text(self) -> Any:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return make_run(tmp_path / "run", examples=1)


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page, list[Evaluation]]:
    """Return a page of a run at home, on a worse source, on one without two classes, on a twin."""
    folder = tmp_path_factory.mktemp("four")
    evaluations = [
        make_evaluation(folder / "run" / "home" / "val", "validation", 0.97),
        make_evaluation(folder / "1", "ds2", 0.7),
        make_evaluation(folder / "2", "lab", 0.6, absent=("erythroblast", "platelet")),
        make_evaluation(folder / "3", "twin", 0.97),
    ]
    text = render(make_run(folder / "run"), evaluations)
    return text, Page(text), [Evaluation.read(path / "eval.json") for path in evaluations]


def test_the_page_loads_nothing(four: tuple[str, Page, list[Evaluation]]) -> None:
    text, page, _ = four
    assert "http:" not in text and "https:" not in text and "@import" not in text
    for tag, attrs in page.elements:
        for key in ("src", "href", "xlink:href", "data", "action", "srcset"):
            assert attrs.get(key, "#").startswith(("#", "data:image/webp;base64,")), (tag, attrs)
    assert set(re.findall(r"url\((.)", text)) == {"#"}
    assert not page.all("script") and not page.all("link")


def test_every_image_is_embedded_in_the_page_with_a_text(
    four: tuple[str, Page, list[Evaluation]],
) -> None:
    _, page, results = four
    num_mistakes = sum(len(result.mistakes) for result in results)
    assert num_mistakes and len(page.all("img")) == 6 * len(BLOOD_CLASSES) + num_mistakes
    assert all(img["src"].startswith("data:image/webp;base64,UklGR") for img in page.all("img"))
    assert all(img["alt"] for img in page.all("img"))
    figures = [svg for svg in page.all("svg") if svg.get("role") == "img"]
    assert len(figures) == 5 + 2 * len(results)
    assert all(svg["aria-label"] for svg in figures)


def test_every_element_is_closed_and_every_reference_arrives(
    four: tuple[str, Page, list[Evaluation]],
) -> None:
    text, page, _ = four
    assert page.open == []
    ids = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    links = {attrs["href"] for _, attrs in page.elements if "href" in attrs}
    assert links and {link[1:] for link in links} <= ids
    assert set(re.findall(r"url\(#(\w+)\)", text)) <= ids


def test_every_estimate_is_printed_with_its_interval(
    four: tuple[str, Page, list[Evaluation]],
) -> None:
    _, page, results = four
    for result in results:
        estimates: list[Estimate | None] = [
            result.accuracy,
            result.balanced_accuracy,
            result.macro_f1,
        ]
        estimates += [result.expected_calibration_error]
        for item in result.per_class:
            estimates += [item.sensitivity, item.specificity, item.precision]
        for estimate in filter(None, estimates):
            value, low, high = (
                f"{100 * share:.1f}" for share in (estimate.value, estimate.low, estimate.high)
            )
            assert f"{value} % {low} to {high}" in page.text


def test_absent_classes_are_named(four: tuple[str, Page, list[Evaluation]]) -> None:
    _, page, _ = four
    assert "No image of erythroblast, platelet in this source" in page.text
    assert "6 of 8 classes" in page.text
    assert page.text.count("(absent)") == 2
    assert sum(attrs.get("class") == "absent" for attrs in page.all("tr")) == 2


def test_the_loss_away_from_home_is_said_in_words(four: tuple[str, Page, list[Evaluation]]) -> None:
    _, page, (home, worse, lab, _) = four
    at_home = home.accuracy.value
    interval = f"95 % interval {100 * home.accuracy.low:.1f} to {100 * home.accuracy.high:.1f}"
    assert f"classifies {100 * at_home:.1f} % ({interval}) of its held-out validation" in page.text
    on_worse, on_lab = (f"{100 * (at_home - r.accuracy.value):.1f} points" for r in (worse, lab))
    assert f"it loses {on_worse} on ds2 and {on_lab} on lab" in page.text
    assert "it shows no clear change on twin" in page.text
    assert f"−{on_worse} against validation" in page.text


def test_a_source_that_is_called_validation_is_not_taken_for_the_runs_own(
    run: RunFolder, tmp_path: Path
) -> None:
    own = make_evaluation(run.home / "val", "validation", 0.97)
    other = make_evaluation(tmp_path / "validation", "validation", 0.5)
    text = Page(render(run, [own, other])).text
    at_home = 100 * Evaluation.read(own / "eval.json").accuracy.value
    assert f"classifies {at_home:.1f} %" in text
    assert "points against validation" in text


def test_a_mean_of_weights_has_no_selected_epoch(run: RunFolder) -> None:
    card = run.read_card()
    selected = f"Epoch {card.best.epoch} of {card.num_epochs} is selected"
    assert selected in Page(render(run, [])).text
    run.write_card(card.model_copy(update={"mean_of": "mean of the last 5 of 20"}))
    text = Page(render(run, [])).text
    assert "The weights are the mean of the last 5 of 20" in text
    assert selected not in text


def test_only_an_evaluation_of_other_weights_is_marked(
    four: tuple[str, Page, list[Evaluation]], run: RunFolder, tmp_path: Path
) -> None:
    stale = make_evaluation(tmp_path / "old", "ds2", weights="99" * 32)
    page = Page(render(run, [stale]))
    assert "measured other weights" in page.text
    assert "has not been evaluated since" in page.text
    assert "measured other weights" not in four[1].text


def test_hostile_names_are_text(tmp_path: Path) -> None:
    classes = ("basophil", HOSTILE, '"><img src=x>')
    run = make_run(tmp_path / "run", classes, source=HOSTILE, examples=0)
    folder = make_evaluation(tmp_path / "e", HOSTILE, 0.5, classes, mistake_name=HOSTILE)
    text = render(run, [folder, folder])
    page = Page(text)
    assert "<script" not in text and not page.all("script")
    assert page.open == []
    assert all(img["src"].startswith("data:") for img in page.all("img"))
    assert any(HOSTILE in img["alt"] for img in page.all("img"))
    assert page.text.count(HOSTILE) > 10


@pytest.mark.slow
def test_the_same_files_give_the_same_page_in_every_process_without_torch(
    run: RunFolder, tmp_path: Path
) -> None:
    evaluation = make_evaluation(tmp_path / "val")
    code = (
        "import sys, pathlib\n"
        "from stainproof.reports.run_report import render\n"
        "from stainproof.runs.folder import RunFolder\n"
        "page = render(RunFolder(sys.argv[1]), [pathlib.Path(sys.argv[2])])\n"
        "assert 'torch' not in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
        "sys.stdout.buffer.write(page.encode())"
    )
    command = [sys.executable, "-c", code, str(run), str(evaluation)]
    other = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    assert render(run, [evaluation]) == other


@pytest.mark.parametrize("name", ["card.json", "history.jsonl", "config.toml"])
def test_a_missing_file_of_the_run_is_named(run: RunFolder, name: str) -> None:
    (run.path / name).unlink()
    with pytest.raises(CheckpointError, match=re.escape(name)):
        render(run, [])


def test_a_missing_evaluation_or_picture_is_named(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"eval\.json"):
        render(run, [tmp_path / "nowhere"])
    folder = make_evaluation(tmp_path / "val")
    (folder / "mistakes" / "00.png").unlink()
    with pytest.raises(CheckpointError, match=r"00\.png"):
        render(run, [folder])


@pytest.mark.parametrize("content", ["", '{"epoch": 1}\n', "no json\n"])
def test_a_history_that_is_none_is_named(run: RunFolder, content: str) -> None:
    run.history.write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"history\.jsonl"):
        render(run, [])


@pytest.mark.parametrize("num", [0, 1, 4])
def test_every_evaluation_has_a_tile_and_a_section(
    four: tuple[str, Page, list[Evaluation]], run: RunFolder, tmp_path: Path, num: int
) -> None:
    folders = [make_evaluation(tmp_path / "ds2", "ds2")] if num == 1 else []
    page = four[1] if num == 4 else Page(render(run, folders))
    assert sum(attrs.get("id", "").startswith("source-") for _, attrs in page.elements) == num
    assert sum("tile" in attrs.get("class", "").split() for _, attrs in page.elements) == num
    assert any(attrs.get("id") == "comparison" for _, attrs in page.elements) == (num > 1)
    assert ("has not been evaluated since" in page.text) == (num == 0)


def test_a_run_of_one_epoch_without_augmented_validation_or_examples_makes_a_page(
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path / "run", num_epochs=1, examples=0)
    bare = run.read_history()[0].model_copy(update={"val_augmented_accuracy": None})
    run.write_history([bare])
    run.write_card(run.read_card().model_copy(update={"best": bare}))
    page = Page(render(run, []))
    assert "no example kept" in page.text
    assert "augmented validation" not in page.text.lower()


def test_an_evaluation_without_mistakes_says_so(run: RunFolder, tmp_path: Path) -> None:
    page = Page(render(run, [make_evaluation(tmp_path / "val", accuracy=1.1)]))
    assert "No mistake." in page.text
    assert "Most confident mistakes" not in page.text


@pytest.mark.slow
def test_a_report_of_two_hundred_classes_stays_small(tmp_path: Path) -> None:
    classes = tuple(f"class {index:03d}" for index in range(200))
    run = make_run(tmp_path / "run", classes)
    folders = [
        make_evaluation(run.home / "val", "validation", 0.9, classes, num=2000, num_mistakes=24),
        make_evaluation(tmp_path / "other", "other", 0.7, classes, num=2000, num_mistakes=24),
    ]
    text = render(run, folders)
    page = Page(text)
    assert len(text.encode()) < 3_000_000
    assert page.open == []
    for name in classes:
        assert page.text.count(f"{name} ") >= len(folders)
    rows = Evaluation.read(folders[1] / "eval.json").per_class
    worst = min(rows, key=lambda item: item.sensitivity.value if item.sensitivity else 1.0)
    assert f"Lowest sensitivity: {worst.name}" in page.text


def test_the_class_with_the_lowest_sensitivity_comes_first(
    four: tuple[str, Page, list[Evaluation]],
) -> None:
    text, _, results = four
    for rank, result in enumerate(results, 1):
        found = {c.name: c.sensitivity.value for c in result.per_class if c.sensitivity}
        table = text.split(f'<section id="source-{rank}">')[1].split("</table>")[0]
        names = re.findall(r'<th scope="row">(\w+)', table)
        assert sorted(names) == sorted(BLOOD_CLASSES)
        shown = [found[name] for name in names if name in found]
        assert shown == sorted(shown)
        assert names[len(shown) :] == [c.name for c in result.per_class if not c.sensitivity]
