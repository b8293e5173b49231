"""Transfer learning: how much of a network with ImageNet weights should be trained.

.venv-bench/bin/python -m benchmarks.training.transfer --data TRAIN --tests CLEAN SHIFTED OTHER_LAB
    --runs FOLDER --truth DS2_TRUTH.CSV [--only ways transfer-head-1 ...] [--share 1/2]

Equal minutes instead of epochs, because frozen layers make a step faster; one thread a training.
Finished rows are kept in training/transfer_rows.jsonl.
"""

from collections.abc import Sequence

from benchmarks.common.page import OUT
from benchmarks.common.study import ADAMW, run_study
from benchmarks.training.study import BROAD
from stainproof.search.experiment import Experiment

ROWS = OUT / "training/transfer_rows.jsonl"
MINUTES = 6

SCRATCH = (*ADAMW, "network.backbone=tf_efficientnet_lite0")
IMAGENET = (*SCRATCH, "network.pretrained=package")
FROZEN = ("training.unfrozen_blocks=0", "training.freeze_norms=true")
GENTLY = ("training.learning_rate=1e-3",)
"""A quarter of the other rate, which random weights and a new head want."""

WAYS: dict[str, tuple[str, ...]] = {
    "light": (),
    "scratch": SCRATCH,
    "head": (*IMAGENET, *FROZEN),
    "top-2": (*IMAGENET, *GENTLY, "training.unfrozen_blocks=2"),
    "all": (*IMAGENET, *GENTLY),
    "layer-decay": (*IMAGENET, *GENTLY, "training.layer_decay=0.75"),
    "norms-frozen": (*IMAGENET, *GENTLY, "training.freeze_norms=true"),
    "report": (*IMAGENET, *FROZEN, *GENTLY, "augment.recipe=simple"),
}
"""Way -> settings. `light` is our own small network as its preset trains it, to compare with;
`report` repeats the weak transfer learning of the AN2DL paper: only the head is trained, on weakly
augmented images."""


def experiment(way: str, seed: int) -> Experiment:
    """Return one training at 96 px."""
    return Experiment(
        name=f"transfer-{way}-{seed}",
        seed=seed,
        budget_s=60 * MINUTES,
        assignments=("training.threads=1", *WAYS[way]),
    )


THIRD = Experiment(
    name="third-model-0",
    seed=0,
    budget_s=60 * 48,
    assignments=("training.threads=1", *WAYS["norms-frozen"], *BROAD),
)
"""The best way for as long as the shipped light network was trained, with its augmentation."""

QUEUES: dict[str, list[Experiment]] = {
    "third": [THIRD],
    "ways": [experiment(way, 0) for way in WAYS],
    "seeds": [experiment(way, seed) for seed in (1, 2) for way in WAYS],
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the chosen trainings that have no row yet."""
    run_study(__doc__, QUEUES, ROWS, arguments)


if __name__ == "__main__":
    main()
