"""The Python API: every stage of the pipeline as one function. Read this file first.

    look       source -> how its images are read
    audit      source -> findings: duplicates, doctored images, doubtful labels
    clean      source + findings -> manifest without what was found
    crop       photographs of a smear -> single-cell images

    train      source -> run folder: weights, ONNX model, card, history, report
    average    run folders + source -> run folder;   ensemble   run folders -> ensemble folder
    calibrate  run folder + source -> calibrated probabilities
    quantise   run folder + source -> the network in 8 bits

    evaluate   run folder + source -> eval.json
    report     run folder + evaluations -> report.html;   write_model_card -> MODEL_CARD.md
    explain    run folder + images -> page of what the predictions are based on
    verify     run folder -> checks of its files;   reproduce  + source -> the same weights

    profile    unlabelled images of a laboratory -> lab.json, which standardises its images
    check      run folder + unlabelled images -> accuracy to expect
    pick       run folder + unlabelled images -> cells to label
    adapt      run folder + a few labelled cells -> run folder;   adapt_unlabelled: without labels

    predict    run folder + images -> table;   predict_fields: of the cells in photographs
    count      run folder + images -> differential count

A source is labelled images: class folders, a manifest, an npz file or the name of a public data set
(`data.sources`). A run folder is what one training leaves (`runs.folder`). Every stage reads what
an earlier one wrote and writes its results atomically. This file has training; the other stages are
imported from their rooms. The command line (`cli/`), searches, contests and the server call these
functions. Slow modules (torch, scikit-learn, matplotlib) are imported inside functions.
"""

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stainproof import files, provenance
from stainproof.audit.cleaning import clean, dropped_names
from stainproof.cells.cropping import crop
from stainproof.config.names import NetworkName, PresetName, ScheduleName
from stainproof.config.presets import choose_config
from stainproof.config.schema import Config
from stainproof.data import sources
from stainproof.data.description import describe, look
from stainproof.data.preparation import read_and_split
from stainproof.data.splits import TRAIN, VAL, check_split
from stainproof.deployment.adaptation import adapt
from stainproof.deployment.picking import pick
from stainproof.deployment.unlabelled import adapt_unlabelled
from stainproof.errors import DataError
from stainproof.evaluation.calibrating import calibrate
from stainproof.evaluation.corrupting import corrupt, evaluate_corruptions
from stainproof.evaluation.evaluating import evaluate
from stainproof.evaluation.shipped import shipped_models
from stainproof.inference.classifier import Classifier
from stainproof.inference.ensemble import ensemble
from stainproof.inference.field_tables import predict_fields
from stainproof.inference.int8 import quantise
from stainproof.inference.reproduction import reproduce
from stainproof.inference.tables import predict
from stainproof.inference.verification import verify
from stainproof.progress import Say, Track, silent, silent_say
from stainproof.reports.audit_results import audit, write_audit
from stainproof.reports.check_results import check
from stainproof.reports.count_results import count
from stainproof.reports.explanation_results import explain
from stainproof.reports.lab_profile import profile
from stainproof.reports.model_card_results import write_model_card
from stainproof.reports.run_results import finish_run, report
from stainproof.runs.card import Card
from stainproof.runs.fine_tuning import choose_start
from stainproof.runs.folder import RunFolder
from stainproof.runs.shipped import find_run, refuse_shipped
from stainproof.scale.data_parallel import train_data_parallel
from stainproof.scale.prediction import predict_on_cluster
from stainproof.synthetic.phantoms import make_phantoms

if TYPE_CHECKING:
    from stainproof.training.loop import Step, TrainingResult

__all__ = [
    "Classifier",
    "adapt",
    "adapt_unlabelled",
    "audit",
    "average",
    "calibrate",
    "check",
    "clean",
    "corrupt",
    "count",
    "crop",
    "ensemble",
    "evaluate",
    "evaluate_corruptions",
    "explain",
    "look",
    "make_phantoms",
    "pick",
    "predict",
    "predict_fields",
    "predict_on_cluster",
    "profile",
    "quantise",
    "report",
    "reproduce",
    "shipped_models",
    "train",
    "train_on_cluster",
    "verify",
    "write_model_card",
]


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
    start_from: str | Path | None = None,
    frozen: bool = False,
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
        out: The run folder to make or to continue: if training was stopped, the same call
            continues after the last complete epoch, or starts again if there is none.
        config: All settings, or a TOML file of them, instead of `preset`, `network` and `schedule`.
        preset: A network and a schedule; by default `light`, with `resume` the run's own settings.
        network: Another network than the preset's.
        schedule: Another schedule than the preset's.
        budget: Training time, such as `"90s"`, `"20m"`, `"1h30m"`, or a number of seconds; replaces
            the number of epochs.
        seed: Seed of all random numbers, 0 or more; by default that of `config`, else 0.
        start_from: A run folder or the name of a shipped model, which is fine-tuned: its network,
            preprocessing and weights, with the settings of `runs.fine_tuning`. Classes whose names
            it knows keep their weights in the last layer. Excludes `config`, `preset`, `network`
            and `schedule`.
        frozen: Whether fine-tuning trains the last layer only.
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
        >>> card = train("cells", "runs/c", start_from="runs/a", budget="3s")
        >>> card.start_from
        'a'
    """
    from stainproof.inference.teacher import load_teacher
    from stainproof.training import card as cards
    from stainproof.training.distributed import rank
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
        start=choose_start(start_from, frozen),
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
            write_audit(listing, run.audit, config.audit, track=track)
        try:
            data, split = read_and_split(listing, config, dropped_names(run.audit), track)
        except DataError:
            if is_audited_now:  # nothing is left of a training that was not started
                shutil.rmtree(run.audit)
            raise
        for line in (*(one for one in data.notes if one not in listing.notes), *split.notes):
            say(line)
        parts = split.divide(data)
        summary = cards.summarise_data(data, split, parts)
        if start.again:
            run.check_split(summary.split_sha256, summary.sha256)
        del data, listing  # the images are in memory once, in `parts`
        trainer = Trainer(
            config, parts[TRAIN], parts[VAL], run, resume=start.resume, load_teacher=teacher
        )

        run.write_splits(split.to_bytes())
        run.write_config(config)  # from here on the same command goes on with this run
        run.write_training_hashes(split.hashes[split.indices(TRAIN)])
        cards.write_examples(run, parts[TRAIN])
        appearance = cards.measure_training_images(parts[TRAIN], config.seed)

        def write_card(result: "TrainingResult") -> Card:
            card = cards.make_card(run, config, summary, trainer.network, result, appearance)
            run.write_card(card)
            return card

        card = write_card(trainer.train(on_step=on_step, on_epoch=write_card))
        return card if rank() else finish_run(run, card, parts, track)


def train_on_cluster(
    source: str | Path,
    out: str | Path,
    config: Config,
    *,
    address: str,
    num_workers: int = 2,
    resume: bool = False,
    audited: bool = False,
    say: Say = silent_say,
) -> Card:
    """Train as `train` does in several processes of a Ray cluster that share every batch.

    The mean gradient of the shares is applied everywhere, so the number of steps and the batch size
    stay. On CPUs batch normalisation uses the statistics of each share, on GPUs those of the batch.
    After the loss of a process all go on after the last epoch.

    Args:
        source: Labelled images on storage that all machines share.
        out: The run folder, on such storage too.
        config: All settings.
        address: `local`, `auto` or the address of a cluster, see `scale.cluster`.
        num_workers: Number of processes of one core each, or of one GPU each if there are any.
        resume: As in `train`.
        audited: As in `train`.
        say: Called with a line after every epoch.

    Raises:
        ConfigError: The cluster cannot be used or is too small, or as in `train`.
        DataError: The source cannot be used for training.
        CheckpointError: There is nothing to resume, or the run was started on other images.
        StainproofError: Processes were lost too often.
    """
    from stainproof.training.resume import resolve_start

    resolve_start(RunFolder(out), config, resume, audited)
    check_split(sources.list_source(source, options=config.source), config.split, config.seed)
    begin = partial(train, source, config=config, resume=resume, audited=audited)
    return train_data_parallel(begin, out, address, num_workers, say)


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

    folders, run = [RunFolder(find_run(one)) for one in runs], RunFolder(out)
    for one in folders:
        refuse_shipped(one.path, "average runs of your own")
        one.check_not_in_training()
    first = folders[0]
    check_choice(choice, max_val_loss, len(runs))
    candidates = find_candidates(folders)
    card, config = first.read_card(), first.read_config()
    run.check_unused()
    listing = sources.list_source(source, track, options=config.source)
    data, split = read_and_split(listing, config, dropped_names(first.audit), track)
    hashes = split.sha256(), data.sha256()
    for one in folders:
        one.check_split(*hashes)
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
        return finish_run(made, card.model_copy(update=changes), parts, track)
