"""What a run folder says of itself: its card, what it learnt from, examples."""

from pathlib import Path

import numpy as np
from torch import nn

from stainproof import files, provenance
from stainproof.config import Config
from stainproof.data.imageset import ImageSet
from stainproof.data.split import Split
from stainproof.models.network import num_parameters
from stainproof.results import Card, DataSummary
from stainproof.training.loop import Outcome

EXAMPLES_A_CLASS = 6


def make_card(
    config: Config,
    summary: DataSummary,
    network: nn.Module,
    outcome: Outcome,
    weights_sha256: str,
) -> Card:
    """Return the card of a run as it stands."""
    return Card(
        classes=tuple(next(iter(summary.class_counts.values()))),
        input=config.input,
        network=config.network,
        num_parameters=num_parameters(network),
        pretrained_sha256=outcome.pretrained_sha256,
        teacher_sha256=outcome.teacher_sha256,
        weights_sha256=weights_sha256,
        best=outcome.best,
        num_epochs=outcome.num_epochs,
        stopped=outcome.stopped,
        data=summary,
        seed=config.seed,
        threads=outcome.compute.threads,
        precision=outcome.compute.precision,
        provenance=provenance.collect(),
    )


def summarise_data(data: ImageSet, split: Split, parts: dict[str, ImageSet]) -> DataSummary:
    """Return what a run learns from: all images, how they are split, and the parts."""
    return DataSummary(
        source=data.source,
        num_images=len(data),
        sha256=data.sha256(),
        split_sha256=split.sha256(),
        class_counts={name: part.class_counts() for name, part in parts.items() if len(part)},
        notes=data.notes,
    )


def write_examples(data: ImageSet, folder: Path) -> None:
    """Write a few images of every class as PNG files, for the report."""
    for label, name in enumerate(data.classes):
        members = np.flatnonzero(data.labels == label)
        spread = members[:: max(1, len(members) // EXAMPLES_A_CLASS)][:EXAMPLES_A_CLASS]
        for rank, index in enumerate(spread):
            files.write_picture(folder / name / f"{rank}.png", data.images[index])
