"""A queue of trainings under equal conditions; every result is saved immediately."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from stainproof import api, files
from stainproof.config.schema import Config
from stainproof.data import sources
from stainproof.data.listing import hash_of_names
from stainproof.errors import CheckpointError, ConfigError
from stainproof.evaluation.result import Evaluation
from stainproof.models.backbones import with_backbone_preprocessing
from stainproof.progress import Track, silent
from stainproof.runs.card import Card
from stainproof.runs.folder import INTERRUPTED, RunFolder
from stainproof.scale.cluster import cluster
from stainproof.search.experiment import Experiment, Row
from stainproof.training.loop import Step


def run_queue(
    experiments: Sequence[Experiment],
    source: str | Path,
    tests: Sequence[str | Path],
    runs: Path,
    rows_file: Path,
    *,
    measure: Callable[[Path], dict[str, float]] = lambda run: {},
    track: Track = silent,
    on_step: Callable[[Step], None] = lambda step: None,
    on_start: Callable[[Experiment], None] = lambda experiment: None,
    ray: str = "",
) -> list[Row]:
    """Train and evaluate the experiments that have no row yet.

    Args:
        experiments: In the order of execution.
        source: Training images.
        tests: Sources to evaluate on; training never sees them.
        runs: Folder for the run folders.
        rows_file: JSON lines; a row is added after every experiment. Several queues may share it.
        measure: Called with each finished run folder; the result is the row's `extra`.
        track: Shows progress.
        on_step: Called after every training step.
        on_start: Called before every experiment that has no row.
        ray: Address of a Ray cluster, see `scale.cluster`; every experiment is a task of one core
            there, and of one GPU if there are any. `runs` must be on storage that all machines
            share. `on_step` is not called.

    Returns:
        The rows of these experiments, in their order.

    Raises:
        ConfigError: Two experiments or tests have the same name, or an existing row or run is of
            another experiment, source or test.
        KeyboardInterrupt: A training was interrupted; it has no row.
        CheckpointError: The file of rows is damaged.
        DataError: A source cannot be read; tests are read before the first training.
    """
    configs = {experiment.name: experiment.config() for experiment in experiments}
    if len(configs) < len(experiments):
        raise ConfigError("experiments: each needs a name of its own")
    options = next(iter(configs.values())).source
    learnt = sources.list_source(source, track, options=options)
    source_name, listings = learnt.source, {learnt.source: learnt.sha256()}
    del learnt  # it may hold the images
    preprocessing = next(iter(configs.values())).preprocessing
    names = []
    for test in tests:
        data = sources.load(test, preprocessing, track=track)
        names.append(data.source)
        listings[f"test {data.source}"] = hash_of_names(data.classes, data.names, data.labels)
    if len(set(names)) < len(names):
        raise ConfigError(f"tests: each needs a name of its own, got {', '.join(names)}")
    rows = {row.experiment.name: row for row in read_rows(rows_file)}
    for row in rows.values():
        if (row.source, set(row.accuracy)) != (source_name, set(names)):
            raise ConfigError(
                f"{rows_file}: holds rows of {row.source} measured on {', '.join(row.accuracy)}; "
                f"got {source_name} and {', '.join(names)}; choose another folder"
            )
        for name, sha256 in listings.items():
            if row.listings.get(name, sha256) != sha256:
                raise ConfigError(
                    f"{rows_file}: holds rows of other images named {name}; choose another folder"
                )
    for experiment in experiments:
        kept = rows.get(experiment.name)
        if kept and kept.experiment != experiment:
            raise ConfigError(
                f"{rows_file}: {experiment.name!r} was run with other settings; "
                "give it another name, or remove its line to run it again"
            )
    one = partial(_run_experiment, source=source, tests=tests, runs=runs, listings=listings)
    one = partial(one, measure=measure)
    missing = [experiment for experiment in experiments if experiment.name not in rows]
    if ray:
        made = _run_on_cluster(missing, one, ray, track, on_start)
    else:
        made = _run_here(missing, partial(one, track=track, on_step=on_step), on_start)
    for row in made:
        files.append_line(rows_file, row.model_dump_json())
        rows[row.experiment.name] = row
    return [rows[experiment.name] for experiment in experiments]


def _run_here(
    experiments: Sequence[Experiment],
    one: Callable[[Experiment], Row],
    on_start: Callable[[Experiment], None],
) -> Iterator[Row]:
    for experiment in experiments:
        on_start(experiment)
        yield one(experiment)


def _run_on_cluster(
    experiments: Sequence[Experiment],
    one: Callable[[Experiment], Row],
    address: str,
    track: Track,
    on_start: Callable[[Experiment], None],
) -> Iterator[Row]:
    """Yield rows in the order in which the experiments end."""

    def calls() -> Iterator[Callable[[], Row]]:
        for experiment in experiments:
            on_start(experiment)
            yield partial(one, experiment)

    if experiments:
        with cluster(address) as there:
            done = there.run(calls(), use_gpu=there.has_gpus)
            for _, row in track(done, "training", len(experiments)):
                yield row


def _run_experiment(
    experiment: Experiment,
    *,
    source: str | Path,
    tests: Sequence[str | Path],
    runs: Path,
    listings: dict[str, str],
    measure: Callable[[Path], dict[str, float]],
    track: Track = silent,
    on_step: Callable[[Step], None] = lambda step: None,
) -> Row:
    """Train an experiment, or go on with it, and evaluate it."""
    run = RunFolder(runs / experiment.name)
    card = finish_training(run, source, experiment.config(), track, on_step)
    measured = [api.evaluate(run.path, test, track=track) for test in tests]
    return _row(experiment, run, card, listings, measured, measure(run.path))


def read_rows(path: Path) -> list[Row]:
    """Read the rows of a file; an empty list if it does not exist.

    Raises:
        CheckpointError: The file is damaged.
    """
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [Row.model_validate_json(line) for line in lines]
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise CheckpointError(f"{path}: damaged; not one row a line") from error


def finish_training(
    run: RunFolder,
    source: str | Path,
    config: Config,
    track: Track,
    on_step: Callable[[Step], None],
) -> Card:
    """Train a run, resume it, or return its card if it is complete.

    Raises:
        ConfigError: A setting is invalid, or the run was started with other settings.
        DataError: The source cannot be used for training.
        CheckpointError: The run is damaged, or was started on other images.
        KeyboardInterrupt: The training was interrupted.
    """
    resume = run.state.exists()
    if not resume:
        run.check_not_in_training()
        shutil.rmtree(run.path, ignore_errors=True)
    elif run.read_config() != with_backbone_preprocessing(config):
        raise ConfigError(
            f"{run}: was begun with other settings; remove it or choose another --out"
        )
    elif run.is_finished():
        return run.read_card()
    card = api.train(
        source, run.path, None if resume else config, resume=resume, track=track, on_step=on_step
    )
    if card.stopped == INTERRUPTED:
        raise KeyboardInterrupt
    return card


def _row(
    experiment: Experiment,
    run: RunFolder,
    card: Card,
    listings: dict[str, str],
    measured: Sequence[Evaluation],
    extra: dict[str, float],
) -> Row:
    history = run.read_history()
    return Row(
        experiment=experiment,
        source=card.data.source,
        num_parameters=card.num_parameters,
        num_images=card.data.num_images,
        listings=listings,
        best=card.best,
        num_epochs=card.num_epochs,
        minutes=history[-1].elapsed_s / 60,
        precision=card.precision,
        accuracy={one.source: one.accuracy for one in measured},
        balanced_accuracy={one.source: one.balanced_accuracy for one in measured},
        confidence={one.source: one.mean_confidence for one in measured},
        extra=extra,
        provenance=card.provenance,
    )
