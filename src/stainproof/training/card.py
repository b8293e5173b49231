"""Make the card of a run, the summary of its training data, and its example images."""

from pathlib import Path

import numpy as np
from torch import nn

from stainproof import files, provenance
from stainproof.config.schema import Config
from stainproof.data.dataset import Dataset
from stainproof.data.splits import Split
from stainproof.models.network import num_parameters
from stainproof.runs.appearance import Appearance
from stainproof.runs.card import Card, DataSummary
from stainproof.runs.folder import RunFolder
from stainproof.shift.appearance import measure_appearance
from stainproof.training.loop import TrainingResult

EXAMPLES_PER_CLASS = 6
MAX_MEASURED = 64
"""Training images whose appearance is measured."""


def make_card(
    run: RunFolder,
    config: Config,
    summary: DataSummary,
    network: nn.Module,
    result: TrainingResult,
    appearance: Appearance,
) -> Card:
    """Return the card of a run in its current state."""
    return Card(
        classes=tuple(next(iter(summary.class_counts.values()))),
        preprocessing=config.preprocessing,
        network=config.network,
        num_parameters=num_parameters(network),
        pretrained_sha256=result.pretrained_sha256,
        start_from=Path(config.training.start_from).name,
        teacher_sha256=result.teacher_sha256,
        weights_sha256=files.sha256_of(run.best),
        best=result.best,
        num_epochs=result.num_epochs,
        stopped=result.stopped,
        data=summary,
        seed=config.seed,
        threads=result.compute.threads,
        precision=result.compute.precision,
        appearance=appearance,
        provenance=provenance.collect(),
    )


def summarise_data(data: Dataset, split: Split, parts: dict[str, Dataset]) -> DataSummary:
    """Return a summary of the training data: hash, split and number of images of every class."""
    return DataSummary(
        source=data.source,
        num_images=len(data),
        sha256=data.sha256(),
        split_sha256=split.sha256(),
        class_counts={name: part.class_counts() for name, part in parts.items() if len(part)},
        notes=data.notes,
    )


def measure_training_images(data: Dataset, seed: int) -> Appearance:
    """Measure a random sample of the training images, see `shift.appearance`."""
    chosen = np.random.default_rng(seed).permutation(len(data))[:MAX_MEASURED]
    return measure_appearance(data.images[np.sort(chosen)])


def write_examples(run: RunFolder, data: Dataset) -> None:
    """Write a few images of every class into the run folder, for the report."""
    for label, name in enumerate(data.classes):
        members = np.flatnonzero(data.labels == label)
        spread = members[:: max(1, len(members) // EXAMPLES_PER_CLASS)][:EXAMPLES_PER_CLASS]
        for rank, index in enumerate(spread):
            run.write_example(name, rank, data.images[index])
