"""The product, stage by stage; the command line is a thin skin on these functions.

    source --audit--> findings --clean--> the source less what was found
    source --load--> images --split--> train | val | test
    train: augment + learn --> run folder (weights, ONNX, card, history)
    average: run folders + source --> run folder with the mean of their weights
    quantise: run folder + source --> the same network in 8 bits, if that pays
    ensemble: run folders --> one folder that answers as they vote
    submit: run folder --> a contest's zip        competition: two sources --> a contest's bundle
    score: zip + bundle or source --> the contest's figures
    evaluate: run folder + source --> eval.json        predict: run folder + files --> table
    report: run folder + evaluations --> report.html

Queues of trainings stand above: `ladder` (the report's steps) and `search` (networks and settings).
Every stage reads the artefact of the stage before it and writes its own, whole or not at all.
What takes long to import (torch, scikit-learn, matplotlib) is imported by the stages that need it.
"""

import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stainproof import files, provenance
from stainproof.config import Answering, AuditConfig, Config, Contest, InputContract
from stainproof.data import cleaning, phantom, sources, stream
from stainproof.data.cleaning import AUDIT_FILE, AUDIT_SUMMARY_FILE
from stainproof.data.findings import write_csv
from stainproof.data.imageset import ImageSet
from stainproof.data.split import TEST, TRAIN, VAL, make_split
from stainproof.errors import CheckpointError, ConfigError, DataError
from stainproof.evaluation.predictions import check_suffix, write_predictions
from stainproof.models.engines import DEFAULT, INT8, choose_engine
from stainproof.models.predictor import Classifier, refuse_ensemble
from stainproof.presets import make_contest, read_config
from stainproof.progress import Track, silent
from stainproof.results import (
    AUDIT_FOLDER,
    BEST_FILE,
    CARD_FILE,
    CONFIG_FILE,
    EVALUATION_FILE,
    EXAMPLES_FOLDER,
    HISTORY_FILE,
    HOME_FOLDER,
    HOME_SOURCES,
    SPLITS_FILE,
    AuditSummary,
    Card,
    Delivered,
    Ensemble,
    Estimate,
    Evaluation,
    Quantised,
    Score,
)

if TYPE_CHECKING:
    from stainproof.training.loop import Outcome, Step

AUDIT_PAGE_FILE = "audit.html"
REPORT_FILE = "report.html"
EVALUATIONS_FOLDER = "evaluations"


def audit(
    source: str | Path,
    out: str | Path,
    settings: AuditConfig | None = None,
    *,
    review: bool = False,
    against: str | Path | None = None,
    track: Track = silent,
) -> AuditSummary:
    """Find what a careful person would throw out; write audit.csv, audit.json and audit.html.

    Args:
        source: Labelled images, of any kind that `data.sources.load` reads.
        out: Folder to write to.
        settings: Thresholds and the seed.
        review: Whether the page lets a person refuse findings and save the decisions.
        against: A second source, to say whether the two look drawn from one distribution.
        track: Shows progress.

    Raises:
        DataError: A source cannot be listed, or `out` cannot be written.
    """
    from stainproof.data.audit import audit as run_audit
    from stainproof.data.audit import summarise
    from stainproof.data.measures import measure
    from stainproof.data.twosample import area_apart, check_enough
    from stainproof.report.audit_page import render_audit

    began = time.monotonic()
    folder, settings = Path(out), settings or AuditConfig()
    listings = [sources.list_source(one, track) for one in (source, against) if one]
    files.check_writable(folder / AUDIT_FILE)
    if against:
        check_enough(*map(len, listings))
    found = run_audit(listings[0], settings, track)
    apart = None
    if against:
        other = measure(listings[1], track)
        ours, theirs = (part.small[part.readable] for part in (found.measures, other))
        value, low, high = area_apart(ours, theirs, settings.seed)
        apart = Estimate(value=value, low=low, high=high)
    summary = summarise(found, str(against or ""), apart, time.monotonic() - began)
    write_csv(folder / AUDIT_FILE, found.findings)
    summary.write(folder / AUDIT_SUMMARY_FILE)
    files.write_text(folder / AUDIT_PAGE_FILE, render_audit(found, summary, review=review))
    return summary


def clean(
    source: str | Path, audit: str | Path, out: str | Path, *, track: Track = silent
) -> tuple[int, int]:
    """Write a source less what an audit sets aside; the source itself is never touched.

    Args:
        source: The audited source.
        audit: The audit's folder, or an `audit.csv` that a person has changed.
        out: A `.csv` manifest, an `.npz` file, or else a folder of copies.
        track: Shows progress.

    Returns:
        The number of images kept and set aside.

    Raises:
        DataError: The audit is of another source, or `out` is the source or cannot be written.
    """
    place = Path(out)
    if files.exists(Path(source)) and files.exists(place) and place.samefile(source):
        raise DataError(f"{out}: is the source, which is never touched; choose another --out")
    listing = sources.list_source(source, track)
    kept = cleaning.apply(listing, Path(audit))
    cleaning.write(kept, place, track)
    return len(kept), len(listing) - len(kept)


def train(
    source: str | Path,
    out: str | Path,
    config: Config | None = None,
    *,
    resume: bool = False,
    audited: bool = False,
    track: Track = silent,
    on_step: "Callable[[Step], None]" = lambda step: None,
) -> Card:
    """Learn a classifier from a source; leave a complete run folder with its report.

    Args:
        source: Labelled images, of any kind that `data.sources.load` reads.
        out: The run folder to make, or with `resume` to go on with.
        config: All settings; by default the preset `quick`, with `resume` the run's own.
        resume: Whether to continue a run that was stopped.
        audited: Whether to audit the source first and leave out what the audit drops; the audit
            is kept in the run folder, and resuming goes by it.
        track: Shows progress.
        on_step: Told after every training step.

    Returns:
        The card of the run.

    Raises:
        ConfigError: A setting does not fit, `out` holds a run and `resume` is off, or both `resume`
            and `audited` are asked for.
        DataError: The source cannot be learnt from.
        CheckpointError: There is nothing to resume, or it was begun on other images.
    """
    from stainproof.training import run_folder
    from stainproof.training.card import make_card, summarise_data, write_examples
    from stainproof.training.loop import Trainer

    run = Path(out)
    config = run_folder.settle(run, config, resume, audited)
    if audited:
        audit(source, run / AUDIT_FOLDER, config.audit, track=track)
    left_out = run_folder.left_out(run)
    data = sources.load(source, config.input, leave_out=left_out, track=track)
    if left_out:
        data = replace(data, notes=(*data.notes, f"{len(left_out)} images left out by the audit"))
    split = make_split(data, config.split, config.seed)
    if resume:
        run_folder.check_split(run, split)
    parts = split.divide(data)
    summary = summarise_data(data, split, parts)
    del data  # so that the images are held once
    trainer = Trainer(config, parts[TRAIN], parts[VAL], run, resume=resume)

    files.write_text(run / CONFIG_FILE, config.to_toml())
    split.write(run / SPLITS_FILE)
    write_examples(parts[TRAIN], run / EXAMPLES_FOLDER)

    def write_card(outcome: "Outcome") -> Card:
        card = make_card(
            config, summary, trainer.network, outcome, files.sha256_of(run / BEST_FILE)
        )
        card.write(run / CARD_FILE)
        return card

    card = write_card(trainer.train(on_step=on_step, on_epoch=write_card))
    return _deliver(run, card, parts, track)


def average(
    runs: Sequence[str | Path],
    source: str | Path,
    out: str | Path,
    *,
    choice: str = "threshold",
    under: float | None = None,
    track: Track = silent,
) -> Card:
    """Average the weights of a run's epochs, or of several runs of one network, into a new run.

    Args:
        runs: One run that kept every epoch, or several that learnt from the same images in the
            same split.
        source: The images that they learnt from.
        out: The run folder to make.
        choice: What is averaged: `threshold`, `last` or `greedy`; see `training.soup.make_soup`.
        under: Of `threshold`: the validation loss; by default 1.1 times the lowest.
        track: Shows progress.

    Returns:
        The card of the new run.

    Raises:
        ConfigError: The choice is unknown or does not go with the rest, nothing lies under the
            threshold, or `out` holds a run.
        CheckpointError: A run cannot be used, or was begun on other images or another split.
        DataError: The source cannot be read.
    """
    from stainproof.models.weights import save_weights
    from stainproof.training import run_folder
    from stainproof.training.soup import check_choice, find_candidates, make_soup

    first, run = Path(runs[0]), Path(out)
    check_choice(choice, under, len(runs))
    candidates = find_candidates([Path(one) for one in runs])
    kept = Card.read(first / CARD_FILE)
    run_folder.check_free(run)
    config = read_config(first / CONFIG_FILE)
    data = sources.load(source, config.input, leave_out=run_folder.left_out(first), track=track)
    split = make_split(data, config.split, config.seed)
    for one in runs:
        run_folder.check_split(Path(one), split)
    parts = split.divide(data)
    soup = make_soup(candidates, choice, config, parts[TRAIN], parts[VAL], under)
    for name in (CONFIG_FILE, SPLITS_FILE, HISTORY_FILE, f"{AUDIT_FOLDER}/{AUDIT_FILE}"):
        if (first / name).exists():
            files.write_bytes(run / name, (first / name).read_bytes())
    shutil.copytree(first / EXAMPLES_FOLDER, run / EXAMPLES_FOLDER, dirs_exist_ok=True)
    save_weights(run / BEST_FILE, soup.state)
    changes = {
        "best": kept.best.model_copy(update=vars(soup.judged)),
        "mean_of": soup.words,
        "weights_sha256": files.sha256_of(run / BEST_FILE),
        "provenance": provenance.collect(),
    }
    return _deliver(run, kept.model_copy(update=changes), parts, track)


def evaluate(
    run: str | Path,
    source: str | Path,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    engine: str = "auto",
    answering: Answering | None = None,
    track: Track = silent,
) -> Evaluation:
    """Measure a run on a labelled source; write `eval.json` and the worst mistakes.

    Args:
        run: The folder of a run or an ensemble.
        source: Labelled images; of a source with a split of its own, its test part.
        out: Folder to write to; by default one in the run folder, where `report` finds it.
        seed: Of the bootstrap intervals, 0 or more.
        engine: What computes the answers, as in `Classifier.load`.
        answering: Views and filter of every image; the result's name says what is not usual, 8
            bits too.
        track: Shows progress.

    Raises:
        ConfigError: The seed is below 0, the engine is unknown or not installed, or the folder
            holds figures of other images.
        CheckpointError: The run folder cannot be used.
        DataError: The source cannot be read, or has a class that the model does not know.
    """
    from stainproof.evaluation.evaluate import evaluate as evaluate_classifier

    if seed < 0:
        raise ConfigError(f"seed must be 0 or more, got {seed}")
    classifier = Classifier.load(run, engine, answering)
    data = _load_test(source, classifier.input, track)
    eight_bits = "8 bits" if engine == INT8 else ""
    name = ", ".join(filter(None, (data.source, classifier.answering.words(), eight_bits)))
    data = replace(data, source=name)
    folder = Path(out) if out else Path(run) / EVALUATIONS_FOLDER / name
    _check_same_images(folder, data)
    return evaluate_classifier(classifier, data, folder, seed=seed, track=track)


def predict(
    run: str | Path,
    images: Sequence[str],
    out: str | Path,
    *,
    engine: str = "auto",
    answering: Answering | None = None,
    track: Track = silent,
) -> tuple[int, int]:
    """Predict image files, folders, globs or npz files into a CSV, Parquet or JSON-lines table.

    Images are read, predicted and written in turn, so that memory does not grow with their number.

    Args:
        run: The folder of a run or an ensemble.
        images: Paths or globs.
        out: The table to write; its suffix chooses the format.
        engine: What computes the answers, as in `Classifier.load`.
        answering: Views and filter of every image.
        track: Shows progress.

    Returns:
        The number of rows, and how many of them say why an image could not be read.

    Raises:
        CheckpointError: The run folder cannot be used.
        ConfigError: The engine is unknown or not installed.
        DataError: A path stands for no image, or the table's suffix is unknown.
    """
    path = Path(out)
    check_suffix(path)
    paths = stream.find(images)
    classifier = Classifier.load(run, engine, answering)
    items = track(stream.read(paths, classifier.input), "predicting", len(paths))
    return write_predictions(classifier, items, path)


def quantise(
    run: str | Path, source: str | Path, *, seed: int = 0, track: Track = silent
) -> Quantised:
    """Make the run's network in 8 bits, and keep it only where that pays.

    It is kept, for `--engine int8`, where it is at least 1.2 times as fast on this machine and
    loses less than 0.2 points of accuracy. A few images of the source serve to calibrate, the
    others to measure.

    Args:
        run: The run folder.
        source: Labelled images of the kind to be answered for, 400 or more.
        seed: Chooses the images that calibrate.
        track: Shows progress.

    Raises:
        CheckpointError: The run folder cannot be used.
        ConfigError: The seed is below 0.
        DataError: The source cannot be read, is too small, or has a class that the model does
            not know.
    """
    from stainproof.delivery.int8 import quantise as quantise_checked

    if seed < 0:
        raise ConfigError(f"seed must be 0 or more, got {seed}")
    refuse_ensemble(Path(run), "quantise its runs, then make it anew")
    classifier = Classifier.load(run, DEFAULT)
    data = sources.load(source, classifier.input, track=track)
    return quantise_checked(Path(run), classifier, data, seed, track)


def ensemble(runs: Sequence[str | Path], out: str | Path, *, voting: str = "soft") -> Ensemble:
    """Make one folder of several runs; `evaluate` and `predict` take it like a run folder.

    Args:
        runs: Two run folders or more; networks, image sizes and order of classes may differ.
        out: Folder to make.
        voting: `soft`: the mean of the probabilities; `hard`: a vote each.

    Raises:
        ConfigError: There are fewer than two runs, or the voting is unknown.
        CheckpointError: A run cannot be used, or they do not know the same classes.
        DataError: The folder holds something already.
    """
    from stainproof.delivery.ensemble import make_ensemble

    return make_ensemble([Path(run) for run in runs], Path(out), voting)


def submit(
    run: str | Path,
    out: str | Path,
    *,
    runtime: str = "keras",
    answering: Answering | None = None,
    images: str | None = None,
    python: str | Path = sys.executable,
    track: Track = silent,
) -> Delivered:
    """Write a run as a submission to the contest, once it is proven to answer as the run does.

    Args:
        run: The folder of a run or an ensemble.
        out: The zip to write.
        runtime: What computes in it: `keras`, as the contest's grader has it, or `onnx`.
        answering: Views and filter of every image; they go into the zip.
        images: Images to prove it on, 200 at most; by default synthetic cells.
        python: The Python that proves it; needs numpy and Keras or ONNX Runtime.
        track: Shows progress.

    Raises:
        CheckpointError: The run folder cannot be used, or its classes are not the contest's.
        ConfigError: The runtime is unknown, not installed, or cannot hold the network.
        DataError: The images cannot be read, or `out` cannot be written.
        SubmissionError: The zip does not answer, or not as the run does; it is not written.
    """
    from stainproof.delivery.codabench.sandbox import Bounds
    from stainproof.delivery.codabench.submission import make_submission, proof_images

    classifier = Classifier.load(run, answering=answering)
    cells = proof_images(images, track)
    return make_submission(classifier, Path(out), runtime, cells, Bounds(python=Path(python)))


def competition(
    development: str | Path,
    final: str | Path,
    out: str | Path,
    contest: Contest | None = None,
    *,
    track: Track = silent,
) -> None:
    """Write a contest for Codabench, with programs, pages, images and hidden labels.

    Args:
        development: Labelled images that submissions are scored on day by day.
        final: Those that they are scored on once.
        out: A `.zip`, or else a folder.
        contest: Its title, days and limits; by default it starts today.
        track: Shows progress.

    Raises:
        DataError: A source cannot be read or has a class that is not the contest's, or `out`
            cannot be written or holds something.
    """
    from stainproof.delivery.codabench.competition import make_competition
    from stainproof.delivery.codabench.grader import CONTEST_INPUT

    first, second = (_load_test(one, CONTEST_INPUT, track) for one in (development, final))
    make_competition(first, second, Path(out), contest or make_contest())


def score(
    submission: str | Path,
    on: str | Path,
    out: str | Path | None = None,
    *,
    phase: str | None = None,
    time_limit_s: float | None = None,
    python: str | Path = sys.executable,
    track: Track = silent,
) -> Score:
    """Score a submission as Codabench would, by the contest's own programs, on this machine.

    Args:
        submission: A zip with model.py at its top; it is not trusted.
        on: A bundle that `competition` made, or labelled images.
        out: A JSON file for the figures; by default none is written.
        phase: Of a bundle; by default `development`.
        time_limit_s: Seconds that it may take; by default the bundle's limit, or ten minutes.
        python: The Python that runs it; must have what the submission needs.
        track: Shows progress.

    Raises:
        ConfigError: There is no such phase, or no such Python.
        DataError: The bundle or the source cannot be used.
        SubmissionError: The zip is malformed, or the submission does not answer as it must.
    """
    from stainproof.delivery.codabench.competition import is_bundle
    from stainproof.delivery.codabench.grader import CONTEST_INPUT
    from stainproof.delivery.codabench.score import score_on_bundle, score_on_images

    place, zipped, runner = Path(on), Path(submission), Path(python)
    if out:
        files.check_writable(Path(out))
    if is_bundle(place):
        result = score_on_bundle(zipped, place, phase or "development", time_limit_s, runner)
    elif phase is not None:
        raise ConfigError(f"phase {phase!r}: {on} is no contest's bundle, so has no phases")
    else:
        data = _load_test(on, CONTEST_INPUT, track)
        result = score_on_images(zipped, data, time_limit_s, runner)
    if out:
        result.write(Path(out))
    return result


def report(run: str | Path, evaluations: Iterable[str | Path] = ()) -> Path:
    """Write `report.html` of a run: its data, training, and all evaluations in its folder.

    Args:
        run: The run folder.
        evaluations: Further folders with an `eval.json`.

    Returns:
        The path of the report.

    Raises:
        CheckpointError: The run folder or an evaluation cannot be read.
    """
    from stainproof.report.page import render

    folder = Path(run)
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such run folder")
    refuse_ensemble(folder, "reports are made of single runs")
    home = [folder / HOME_FOLDER / part for part in (VAL, TEST)]
    others = sorted((folder / EVALUATIONS_FOLDER).glob("*"))
    own = [path for path in (*home, *others) if (path / EVALUATION_FILE).exists()]
    page = render(folder, [*own, *map(Path, evaluations)])
    files.write_text(folder / REPORT_FILE, page)
    return folder / REPORT_FILE


def make_phantoms(
    out: str | Path,
    num_images: int,
    *,
    seed: int = 0,
    lab: str = "home",
    size_px: int = 96,
    track: Track = silent,
) -> Path:
    """Write synthetic cells as class folders of PNG files.

    Args:
        out: Folder to make; must be absent or empty.
        num_images: How many, shared out evenly among the eight classes.
        seed: The same seed gives the same bytes.
        lab: Stain, light and optics; a name in `phantom.LABS`.
        size_px: Height and width.
        track: Shows progress.

    Raises:
        DataError: The folder holds something, or a setting is out of range.
    """
    with files.new_folder(Path(out)) as folder:
        images = phantom.stream(num_images, seed=seed, size_px=size_px, lab=lab)
        for index, rgb in enumerate(track(images, "drawing phantoms", num_images)):
            files.write_picture(folder / phantom.class_of(index) / f"phantom_{index:06d}.png", rgb)
    return Path(out)


def _check_same_images(folder: Path, data: ImageSet) -> None:
    """Refuse to write over figures of other images.

    Raises:
        ConfigError: The folder holds such.
    """
    path = folder / EVALUATION_FILE
    if path.exists() and Evaluation.read(path).data_sha256 != data.sha256():
        raise ConfigError(
            f"{folder}: holds figures of other images named {data.source}; remove it, or choose "
            f"another --out, such as {folder}-2"
        )


def _load_test(source: str | Path, contract: InputContract, track: Track) -> ImageSet:
    """Read what is measured on: of a source with a split of its own, its test part."""
    data = sources.load(source, contract, track=track)
    return data.part(TEST) if data.parts is not None and TEST in data.parts else data


def _deliver(run: Path, card: Card, parts: dict[str, ImageSet], track: Track) -> Card:
    """Finish a run that has its weights: ONNX, engine, held-out images, report."""
    from stainproof.delivery.export import export_onnx
    from stainproof.evaluation.evaluate import evaluate as evaluate_classifier

    card = card.model_copy(update={"onnx_sha256": export_onnx(run, card), "int8_sha256": ""})
    card = card.model_copy(update={"engine": choose_engine(run, card)})
    card.write(run / CARD_FILE)
    classifier = Classifier.load(run)
    for part, meaning in zip((VAL, TEST), HOME_SOURCES, strict=True):
        held_out = replace(parts[part], source=meaning)
        if len(held_out):
            evaluate_classifier(classifier, held_out, run / HOME_FOLDER / part, track=track)
    report(run)
    return card
