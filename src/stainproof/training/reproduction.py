"""Train a run again with what it stored, and compare the results."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stainproof import files
from stainproof.audit.cleaning import dropped_names
from stainproof.config.schema import MAX_EPOCHS, Config
from stainproof.data import sources
from stainproof.data.splits import TRAIN, VAL, make_split
from stainproof.errors import CheckpointError
from stainproof.progress import Track, silent
from stainproof.runs.card import Card
from stainproof.runs.check import Check, compare
from stainproof.runs.folder import RunFolder
from stainproof.runs.history import EpochRecord
from stainproof.training.distillation import Predictor
from stainproof.training.loop import Step, Trainer, TrainingResult

TIMED = {"images_per_s", "elapsed_s", "augmenting_s"}
"""Fields of an epoch that are times; they always differ."""


def config_again(config: Config, card: Card) -> Config:
    """Return the settings that train a run again: its threads and precision, and no time budget.

    A run that had a time budget is trained for the number of its epochs. If only the budget limited
    it, the schedule of the learning rate followed the clock and cannot be repeated exactly.
    """
    changes: dict[str, Any] = {"threads": card.threads, "precision": card.precision}
    changes["budget_s"] = None
    if config.training.budget_s and config.training.epochs == MAX_EPOCHS:
        changes["epochs"] = card.num_epochs
    training = type(config.training).model_validate(config.training.model_dump() | changes)
    return config.model_copy(update={"training": training})


def reproduce_training(
    run: RunFolder,
    source: str | Path,
    out: RunFolder,
    *,
    load_teacher: Callable[[int], Predictor] | None = None,
    track: Track = silent,
    on_step: Callable[[Step], None] = lambda step: None,
) -> list[Check]:
    """Train a run again into another folder, and compare weights and history.

    Args:
        run: The run; its settings, seed, threads, precision and number of epochs are used.
        source: The images that it was trained on.
        out: The folder for the weights and the history.
        load_teacher: Loads the teacher, if the run had one.
        track: Shows progress.
        on_step: Called after every training step.

    Returns:
        The checks of the images, the history and the weights.

    Raises:
        CheckpointError: The run cannot be read, is an average, or was trained on other images or
            another split.
        DataError: The source cannot be read.
        ConfigError: `out` contains a run.
    """
    card, history = run.read_card(), run.read_history()
    if card.mean_of:
        raise CheckpointError(f"{run}: is an average; reproduce the run that was averaged")
    if card.adapted:
        raise CheckpointError(f"{run}: was adapted; reproduce the run that it was made from")
    config = config_again(run.read_config(), card)
    out.check_unused()
    listing = sources.list_source(source, track, options=config.source)
    data = sources.read(
        listing,
        config.preprocessing,
        options=config.source,
        leave_out=dropped_names(run.audit),
        track=track,
    )
    split = make_split(data, config.split, config.seed)
    run.check_split(split.sha256())
    if data.sha256() != card.data.sha256:
        raise CheckpointError(f"{run}: was trained on other images than {source}")
    parts = split.divide(data)
    with out.training_lock():
        trainer = Trainer(config, parts[TRAIN], parts[VAL], out, load_teacher=load_teacher)
        out.write_config(config)

        def stop_with_the_run(result: TrainingResult) -> None:
            if result.num_epochs >= card.num_epochs:
                trainer.interrupt.noted = True

        trainer.train(on_step=on_step, on_epoch=stop_with_the_run)
        return [
            Check("images", "ok", f"the same {len(data)} images and split"),
            _compare_histories(history[: card.num_epochs], out.read_history()),
            _compare_weights(card, files.sha256_of(out.best)),
        ]


def _compare_histories(first: Sequence[EpochRecord], second: Sequence[EpochRecord]) -> Check:
    wrong = []
    if len(first) != len(second):
        wrong.append(f"{len(first)} epochs in the run, {len(second)} here")
    for one, other in zip(first, second, strict=False):
        ours, theirs = one.model_dump(exclude=TIMED), other.model_dump(exclude=TIMED)
        changed = [key for key, value in ours.items() if repr(value) != repr(theirs[key])]
        if changed:
            values = (f"{key} {ours[key]:.6g} and {theirs[key]:.6g}" for key in changed)
            wrong.append(f"from epoch {one.epoch} on, {', '.join(values)}")
            break
    return compare("history", wrong, f"the same losses and accuracies in {len(first)} epochs")


def _compare_weights(card: Card, sha256: str) -> Check:
    wrong = [f"SHA-256 {card.weights_sha256[:12]} in the run, {sha256[:12]} here"]
    return compare("weights", wrong * (card.weights_sha256 != sha256), f"SHA-256 {sha256[:12]}")
