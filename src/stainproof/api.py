"""The Python API: every stage of the pipeline as one function. Read this file first.

    source --audit--> findings --clean--> the source without what was found
    source --train--> run folder: weights, ONNX model, card, history, report
    run folders --average, ensemble, quantise--> run folders for inference
    run folder + labelled source --evaluate--> eval.json
    run folder + images --predict--> table of predictions
    run folder + evaluations --report--> report.html
    run folder --verify--> checks of its files;  run folder + source --reproduce--> the same weights

A source is a folder of class folders, a manifest, an npz file or the name of a public data set; see
`data.sources.load`. Every stage reads what the stage before it wrote, and writes its own results
atomically. The command line (`cli/`) is a thin layer over these functions. Sequences of trainings
(`search/`) and contests (`contest/`) are built on top of them.

Modules that are slow to import (torch, scikit-learn, matplotlib) are imported inside the functions.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stainproof import files, provenance
from stainproof.audit.cleaning import AUDIT_FILE, AUDIT_SUMMARY_FILE, clean, dropped_names
from stainproof.audit.findings import write_csv
from stainproof.audit.summary import AuditSummary
from stainproof.config.names import NetworkName, PresetName, ScheduleName
from stainproof.config.presets import choose_config
from stainproof.config.schema import AuditConfig, Config, InferenceConfig, SourceConfig
from stainproof.data import sources
from stainproof.data.class_map import map_unknown_classes
from stainproof.data.copies import canonical_hashes
from stainproof.data.dataset import Dataset
from stainproof.data.description import SourceDescription, describe
from stainproof.data.listing import Listing
from stainproof.data.splits import TRAIN, VAL, Split, check_split, make_split
from stainproof.errors import ConfigError, DataError
from stainproof.evaluation.result import EVALUATION_FILE, Evaluation
from stainproof.inference.classifier import Classifier
from stainproof.inference.engines import INT8, choose_engine
from stainproof.inference.ensemble import ensemble
from stainproof.inference.int8 import quantise
from stainproof.inference.tables import predict
from stainproof.inference.verification import verify
from stainproof.progress import Say, Track, silent, silent_say
from stainproof.runs.artefact import Estimate
from stainproof.runs.card import Card
from stainproof.runs.ensemble import refuse_ensemble
from stainproof.runs.folder import HOME_SOURCES, RunFolder
from stainproof.synthetic.phantoms import make_phantoms

if TYPE_CHECKING:
    from stainproof.runs.check import Check
    from stainproof.training.loop import Step, TrainingResult

__all__ = [
    "Classifier",
    "audit",
    "average",
    "clean",
    "ensemble",
    "evaluate",
    "look",
    "make_phantoms",
    "predict",
    "quantise",
    "report",
    "reproduce",
    "train",
    "verify",
]

AUDIT_PAGE_FILE = "audit.html"


def audit(
    source: str | Path,
    out: str | Path,
    settings: AuditConfig | None = None,
    *,
    review: bool = False,
    against: str | Path | None = None,
    options: SourceConfig = sources.AS_GUESSED,
    track: Track = silent,
) -> AuditSummary:
    """Find duplicates, doctored images, outliers and label issues.

    Writes `audit.csv`, `audit.json` and `audit.html`. Nothing is removed; see `clean`.

    Args:
        source: Labelled images, see `data.sources.load`.
        out: Folder to write to.
        settings: Thresholds and the seed.
        review: Whether a person can reject findings on the page and save the decisions.
        against: A second source, to test whether both come from one distribution and to count its
            copies of images of the first.
        options: How the sources are read, see `data.sources.load`.
        track: Shows progress.

    Raises:
        DataError: A source cannot be listed, or `out` cannot be written.
    """
    from stainproof.audit.two_sample import check_enough

    listing = sources.list_whole_source(source, track, options=options)
    other = sources.list_whole_source(against, track, options=options) if against else None
    files.check_writable(Path(out) / AUDIT_FILE)
    if other:
        check_enough(len(listing), len(other))
    settings = settings or AuditConfig()
    return _audit_listing(listing, Path(out), settings, other, str(against or ""), review, track)


def _audit_listing(
    listing: Listing,
    folder: Path,
    settings: AuditConfig,
    other: Listing | None = None,
    against: str = "",
    review: bool = False,
    track: Track = silent,
) -> AuditSummary:
    """Audit a listing, compare it with another one, and write the results."""
    from stainproof.audit.checks import count_copies_against, run_checks, summarise
    from stainproof.audit.measurements import measure
    from stainproof.audit.two_sample import two_sample_auc
    from stainproof.reports.audit_page import render_audit

    began = time.monotonic()
    found = run_checks(listing, settings, track)
    auc = num_copies = None
    if other:
        measured = measure(other, track)
        first, second = (part.small[part.readable] for part in (found.measurements, measured))
        value, low, high = two_sample_auc(first, second, settings.seed)
        auc = Estimate(value=value, low=low, high=high)
        num_copies = count_copies_against(found, other, measured)
    summary = summarise(found, against, auc, time.monotonic() - began, num_copies)
    write_csv(folder / AUDIT_FILE, found.findings)
    summary.write(folder / AUDIT_SUMMARY_FILE)
    files.write_text(folder / AUDIT_PAGE_FILE, render_audit(found, summary, review=review))
    return summary


def train(
    source: str | Path,
    out: str | Path,
    config: Config | str | Path | None = None,
    *,
    preset: PresetName | None = None,
    network: NetworkName | None = None,
    schedule: ScheduleName | None = None,
    budget: str | float | None = None,
    seed: int | None = None,
    resume: bool = False,
    audited: bool = False,
    track: Track = silent,
    say: Say = silent_say,
    on_step: "Callable[[Step], None]" = lambda step: None,
    **settings: Any,
) -> Card:
    """Train a classifier; leave a complete run folder with its report.

    It takes what the command `stainproof train` takes.

    Args:
        source: Labelled images, see `data.sources.load`.
        out: The run folder to make or to continue: a run that was stopped goes on if it is called
            with the same settings and source again, after its last epoch or else anew.
        config: All settings, or a TOML file of them, instead of `preset`, `network` and `schedule`.
        preset: A network and a schedule; by default `light`, with `resume` the run's own settings.
        network: Another network than the preset's.
        schedule: Another schedule than the preset's.
        budget: Training time, such as `"90s"`, `"20m"`, `"1h30m"`, or a number of seconds; replaces
            the number of epochs.
        seed: Seed of all random numbers, 0 or more; by default that of `config`, else 0.
        resume: Whether to continue a run that has finished an epoch; also with other settings, and
            also a finished one.
        audited: Whether to audit the source first and leave out what the audit drops. The audit is
            kept in the run folder, and a resumed run applies it again.
        track: Shows progress.
        say: Called with lines about the source and the split before training begins.
        on_step: Called after every training step.
        **settings: Single settings, applied last: `training__batch_size=64`, or
            `**{"training.batch_size": 64}`. All names: `help(stainproof.Config)`.

    Returns:
        The card of the run; `stopped` is `interrupted` after SIGINT or SIGTERM.

    Raises:
        ConfigError: A setting is unknown or invalid, two arguments contradict each other, `out`
            contains a finished run or one with other settings and `resume` is off, or both `resume`
            and `audited` are set.
        DataError: The source cannot be used for training.
        CheckpointError: There is nothing to resume, or the run was started on other images.

    Example:
        >>> from stainproof import train
        >>> card = train("cells", "runs/a", preset="tiny", budget="3s", training__batch_size=32)
        >>> card = train("cells", "runs/b", "runs/a/config.toml", seed=1)  # with another seed
        >>> card.seed
        1
    """
    from stainproof.inference.teacher import load_teacher
    from stainproof.training.card import make_card, summarise_data, write_examples
    from stainproof.training.loop import Trainer
    from stainproof.training.resume import resolve_start

    run = RunFolder(out)
    chosen = choose_config(
        config,
        preset=preset,
        network=network,
        schedule=schedule,
        budget=budget,
        seed=seed,
        assignments=settings,
        kept=run.read_resumed_config() if resume and config is None else None,
    )
    start = resolve_start(run, chosen, resume, audited)
    config = start.config
    for note in start.notes:
        say(note)
    teacher = partial(load_teacher, config.training.teacher) if config.training.teacher else None
    if teacher:
        teacher()  # an unusable teacher is reported before the images are read
    listing = sources.list_source(source, track, options=config.source)
    for line in describe(listing).lines():
        say(line)
    check_split(listing, config.split, config.seed)
    with run.training_lock():
        is_audited_now = audited and not start.again
        if is_audited_now:
            _audit_listing(listing, run.audit, config.audit, track=track)
        try:
            data, split = _read_and_split(listing, config, dropped_names(run.audit), track)
        except DataError:
            if is_audited_now:  # nothing is left of a training that was not started
                shutil.rmtree(run.audit)
            raise
        for line in (*(one for one in data.notes if one not in listing.notes), *split.notes):
            say(line)
        if start.again:
            run.check_split(split.sha256())
        parts = split.divide(data)
        summary = summarise_data(data, split, parts)
        del data, listing  # the images are in memory once, in `parts`
        trainer = Trainer(
            config, parts[TRAIN], parts[VAL], run, resume=start.resume, load_teacher=teacher
        )

        run.write_splits(split.to_bytes())
        run.write_config(config)  # from here on the same command goes on with this run
        run.write_training_hashes(canonical_hashes(parts[TRAIN].images))
        write_examples(run, parts[TRAIN])

        def write_card(result: "TrainingResult") -> Card:
            card = make_card(run, config, summary, trainer.network, result)
            run.write_card(card)
            return card

        card = write_card(trainer.train(on_step=on_step, on_epoch=write_card))
        return _finish_run(run, card, parts, track)


def _read_and_split(
    listing: Listing, config: Config, dropped: set[str], track: Track
) -> tuple[Dataset, Split]:
    """Read the images that an audit does not drop, and split them."""
    data = sources.read(
        listing, config.preprocessing, options=config.source, leave_out=dropped, track=track
    )
    if dropped:
        data = replace(data, notes=(*data.notes, f"{len(dropped)} images left out by the audit"))
    return data, make_split(data, config.split, config.seed)


def average(
    runs: Sequence[str | Path],
    source: str | Path,
    out: str | Path,
    *,
    choice: str = "threshold",
    max_val_loss: float | None = None,
    track: Track = silent,
) -> Card:
    """Average the weights of a run's epochs, or of several runs of one network, into a new run.

    Args:
        runs: One run that kept every epoch, or several trained on the same images and split.
        source: The images that they were trained on.
        out: The run folder to make.
        choice: Which weights are averaged: `threshold`, `last` or `greedy`; see
            `training.weight_averaging.average_weights`.
        max_val_loss: Only for `threshold`: the largest validation loss of the weights that are
            averaged; by default 1.1 times the lowest.
        track: Shows progress.

    Returns:
        The card of the new run.

    Raises:
        ConfigError: The choice is unknown or contradicts the other arguments, no epoch is below the
            threshold, or `out` contains a run.
        CheckpointError: A run cannot be used, or was trained on other images or another split.
        DataError: The source cannot be read.
    """
    from stainproof.training.weight_averaging import average_weights, check_choice, find_candidates

    folders, run = [RunFolder(one) for one in runs], RunFolder(out)
    for one in folders:
        one.check_not_in_training()
    first = folders[0]
    check_choice(choice, max_val_loss, len(runs))
    candidates = find_candidates(folders)
    card = first.read_card()
    run.check_unused()
    config = first.read_config()
    listing = sources.list_source(source, track, options=config.source)
    data, split = _read_and_split(listing, config, dropped_names(first.audit), track)
    for one in folders:
        one.check_split(split.sha256())
    parts = split.divide(data)
    averaged = average_weights(candidates, choice, config, parts[TRAIN], parts[VAL], max_val_loss)
    with files.new_folder(run.path) as folder:
        made = RunFolder(folder)
        made.copy_training_record(first)
        made.write_weights(made.best, averaged.state)
        changes = {
            "best": card.best.model_copy(update=vars(averaged.validation)),
            "mean_of": averaged.description,
            "weights_sha256": files.sha256_of(made.best),
            "provenance": provenance.collect(),
        }
        return _finish_run(made, card.model_copy(update=changes), parts, track)


def evaluate(
    run: str | Path,
    source: str | Path,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    engine: str = "auto",
    inference: InferenceConfig | None = None,
    options: SourceConfig = sources.AS_GUESSED,
    track: Track = silent,
) -> Evaluation:
    """Evaluate a run on a labelled source; write `eval.json` and the most confident mistakes.

    Args:
        run: The folder of a run or an ensemble.
        source: Labelled images; of a source with a split of its own, its test part.
        out: Folder to write to; by default one in the run folder, where `report` finds it.
        seed: Seed of the bootstrap intervals, 0 or more.
        engine: The inference engine, as in `Classifier.load`.
        inference: Test-time augmentation and filter. The name of the result says what differs from
            the default, and whether the engine computes in 8 bits.
        options: How the source is read, see `data.sources.load`. If every class that the model does
            not know has a rule in the packaged map `haematology`, the map is applied and said.
        track: Shows progress.

    Raises:
        ConfigError: The seed is below 0, the engine is unknown or not installed, or the folder
            contains an evaluation of other images.
        CheckpointError: The run folder cannot be used.
        DataError: The source cannot be read, or has a class that the model does not know.
    """
    from stainproof.evaluation.evaluator import evaluate as evaluate_classifier
    from stainproof.evaluation.training_copies import count_training_copies

    if seed < 0:
        raise ConfigError(f"seed must be 0 or more, got {seed}")
    RunFolder(run).check_not_in_training()
    classifier = Classifier.load(run, engine, inference)
    listing = sources.test_part(sources.list_source(source, track, options=options))
    listing = map_unknown_classes(listing, classifier.classes)
    read = partial(sources.read, listing, options=options)
    data = read(classifier.preprocessing, track=track)
    precision = "8 bits" if engine == INT8 else ""
    name = ", ".join(filter(None, (data.source, classifier.inference.describe(), precision)))
    data = replace(data, source=name)
    folder = Path(out) if out else RunFolder(run).evaluations / name
    _check_same_images(folder, data)
    num_copies = count_training_copies(classifier, data, read)
    return evaluate_classifier(
        classifier, data, folder, seed=seed, num_in_training=num_copies, track=track
    )


def look(
    source: str | Path, *, options: SourceConfig = sources.AS_GUESSED, track: Track = silent
) -> SourceDescription:
    """Describe a source without reading its pixels: classes, groups, split, files, what is skipped.

    Args:
        source: Labelled images, see `data.sources.load`.
        options: How the source is read.
        track: Shows progress.

    Raises:
        DataError: The source cannot be listed.
    """
    return describe(sources.list_source(source, track, options=options))


def report(run: str | Path, evaluations: Iterable[str | Path] = ()) -> Path:
    """Write `report.html` of a run: its data, its training and all evaluations in its folder.

    Args:
        run: The run folder.
        evaluations: Further folders with an `eval.json`.

    Returns:
        The path of the report.

    Raises:
        CheckpointError: The run folder or an evaluation cannot be read.
    """
    from stainproof.reports.run_report import render

    folder = RunFolder(run)
    folder.check_exists()
    refuse_ensemble(folder.path, "reports are made of single runs")
    own = [path for path in folder.evaluation_folders() if (path / EVALUATION_FILE).exists()]
    return folder.write_report(render(folder, [*own, *map(Path, evaluations)]))


def reproduce(
    run: str | Path,
    source: str | Path,
    out: str | Path | None = None,
    *,
    track: Track = silent,
    on_step: "Callable[[Step], None]" = lambda step: None,
) -> "list[Check]":
    """Train a run again with its settings, seed, threads and precision; compare the results.

    Args:
        run: The run folder.
        source: The images that it was trained on.
        out: Folder for the new weights and history; by default they are removed.
        track: Shows progress.
        on_step: Called after every training step.

    Returns:
        Checks of images, history and weights; `training.reproduction` says what is compared.

    Raises:
        CheckpointError: The run cannot be read, or was trained on other images.
        ConfigError: `out` contains a run.
        DataError: The source cannot be read.
    """
    from stainproof.inference.teacher import load_teacher
    from stainproof.training.reproduction import reproduce_training

    folder = RunFolder(run)
    folder.check_exists()
    refuse_ensemble(folder.path, "reproduce its runs")
    folder.check_not_in_training()
    named = folder.read_config().training.teacher
    teacher = partial(load_teacher, named) if named else None
    with tempfile.TemporaryDirectory() as temporary:
        again = RunFolder(out or temporary)
        return reproduce_training(
            folder, source, again, load_teacher=teacher, track=track, on_step=on_step
        )


def _check_same_images(folder: Path, data: Dataset) -> None:
    """Check that the folder has no evaluation of other images.

    Raises:
        ConfigError: The folder contains one.
    """
    path = folder / EVALUATION_FILE
    if path.exists() and Evaluation.read(path).data_sha256 != data.sha256():
        raise ConfigError(
            f"{folder}: contains the evaluation of other images named {data.source}; remove it, "
            f"or choose another --out, such as {folder}-2"
        )


def _finish_run(run: RunFolder, card: Card, parts: dict[str, Dataset], track: Track) -> Card:
    """Complete a run that has its weights: ONNX model, engine, evaluations at home, report."""
    from stainproof.evaluation.evaluator import evaluate as evaluate_classifier
    from stainproof.inference.export import to_onnx
    from stainproof.models.weights import load_network

    model = to_onnx(load_network(run, card), card.preprocessing)
    card = card.model_copy(update={"onnx_sha256": run.write_onnx(model), "int8_sha256": ""})
    card = card.model_copy(update={"engine": choose_engine(run, card)})
    run.report.unlink(missing_ok=True)  # a run is finished when this card has a report
    run.write_card(card)
    classifier = Classifier.load(run.path)
    for part, name in HOME_SOURCES.items():
        held_out = replace(parts[part], source=name)
        if len(held_out):
            evaluate_classifier(classifier, held_out, run.home / part, track=track)
    report(run.path)
    return card
