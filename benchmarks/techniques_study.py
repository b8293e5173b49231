"""What else may help: networks, optimisers, norms and mixes beside the usual settings.

python benchmarks/techniques_study.py --data TRAIN --tests CLEAN SHIFTED OTHER_LAB --runs FOLDER
    --truth ds2_truth.csv [--only sizes ...] [--share 1/2]

As in augmentation_study.py: equal epochs, one thread a training, every finished row kept in
techniques_rows.jsonl.
"""

from pathlib import Path

from augmentation_study import run_study, short
from stainproof.results import Experiment

ROWS = Path(__file__).with_name("techniques_rows.jsonl")

QUEUES: dict[str, list[Experiment]] = {
    "baseline": [short("baseline")],
    "sizes": [
        short(f"size-{name}", *assignments)
        for name, assignments in {
            "24k": ("network.stem=[8,16,32]", "network.stages=[48]", "network.hidden=32"),
            "55k": ("network.stem=[12,24,48]", "network.stages=[72]", "network.hidden=64"),
            "577k": ("network.stages=[144,240]",),
            "870k": ("network.stem=[24,48,96]", "network.stages=[192,288]"),
            "1933k": ("network.stem=[60,120]", "network.stages=[240,480]"),
        }.items()
    ],
    "optimizers": [
        short("adam", "training.optimizer=adam", "training.weight_decay=0"),
        short("sgd", "training.optimizer=sgd", "training.learning_rate=0.1",
              "training.weight_decay=5e-4"),
        short("lion", "training.optimizer=lion", "training.learning_rate=4e-4",
              "training.weight_decay=0.2"),
        short("muon", "training.optimizer=muon"),
    ],
    "techniques": [
        short("group-norm", "network.norm=group"),
        short("mixup", "augment.mix=mixup"),
        short("no-average", "training.ema_decay=0", "training.keep_every_epoch=true"),
    ],
}  # fmt: skip


if __name__ == "__main__":
    run_study(__doc__, QUEUES, ROWS)
