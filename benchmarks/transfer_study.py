"""How deep a network with ImageNet weights should learn: a queue of equal trainings, one row each.

.venv-transfer/bin/python benchmarks/transfer_study.py --data TRAIN --tests CLEAN SHIFTED OTHER_LAB
    --runs FOLDER [--only head top-2 ...] [--seeds 0 1 2] [--minutes 10] [--share 1/2]

Every finished row is kept in transfer_rows.jsonl beside this file; a later call goes on. Every
training has one thread and the same minutes, not epochs: what is frozen is faster, and that is part
of its worth. Two calls with --share 1/2 and 2/2 use two cores.
"""

import argparse
from pathlib import Path

from stainproof.experiments import run_queue
from stainproof.results import Experiment

ROWS = Path(__file__).with_name("transfer_rows.jsonl")

SCRATCH = ("network.backbone=tf_efficientnet_lite0",)
IMAGENET = (*SCRATCH, "network.pretrained=package")
FROZEN = ("training.unfrozen_blocks=0", "training.freeze_norms=true")
GENTLY = ("training.learning_rate=1e-3",)
"""A quarter of the preset's rate, which random weights and a new head want."""

WAYS: dict[str, tuple[str, ...]] = {
    "light": (),
    "scratch": SCRATCH,
    "head": (*IMAGENET, *FROZEN),
    "top-2": (*IMAGENET, *GENTLY, "training.unfrozen_blocks=2"),
    "all": (*IMAGENET, *GENTLY),
    "layer-decay": (*IMAGENET, *GENTLY, "training.layer_decay=0.75"),
    "norms-frozen": (*IMAGENET, *GENTLY, "training.freeze_norms=true"),
    "report": (*IMAGENET, *FROZEN, *GENTLY, "augment.recipe=simple", "augment.validation=none"),
}
"""Way -> settings. `light` is our own small network, to compare with; `report` is how the report's
transfer learning was poor: nothing but the head learns, from weakly changed images."""


def experiment(way: str, seed: int, minutes: float) -> Experiment:
    """Return one training at 96 px."""
    fixed = ("training.threads=1", "training.epochs=1000")
    return Experiment(
        name=f"transfer-{way}-{seed}",
        seed=seed,
        budget_s=60 * minutes,
        assignments=(*fixed, *WAYS[way]),
    )


def main() -> None:
    """Run what has no row yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--tests", nargs="+", required=True)
    parser.add_argument("--runs", required=True, type=Path)
    parser.add_argument("--only", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--seeds", nargs="+", default=[0], type=int)
    parser.add_argument("--minutes", default=10.0, type=float)
    parser.add_argument("--share", default="1/1", help="2/2: every second one, from the second")
    options = parser.parse_args()
    rank, num_shares = map(int, options.share.split("/"))
    chosen = [
        experiment(way, seed, options.minutes) for seed in options.seeds for way in options.only
    ]
    run_queue(
        chosen[rank - 1 :: num_shares],
        options.data,
        options.tests,
        options.runs,
        ROWS,
        on_start=lambda one: print("begins", one.name, flush=True),
    )


if __name__ == "__main__":
    main()
