"""The techniques study: networks, optimizers, normalisation, mixing, distillation.

python -m benchmarks.training.study --data TRAIN --tests CLEAN SHIFTED OTHER_LAB --runs FOLDER
    --truth DS2_TRUTH.CSV [--only sizes ...] [--share 1/2]

Equal epochs, one thread a training; finished rows are kept in training/rows.jsonl. The queues
`teacher`, `teacher-long` and `taught` need an ensemble of two runs of `muon-long` in `teacher/`.
"""

from collections.abc import Sequence

from benchmarks.common.page import OUT
from benchmarks.common.study import LONG, run_study, short
from stainproof.search.experiment import Experiment

ROWS = OUT / "training/rows.jsonl"
FULL = "training.start_scale=1"
"""Images of full size throughout, as in the rows of benchmarks/augmentation/study.py."""

MUON = "training.optimizer=muon"
BEST_MUON = (FULL, MUON, "training.learning_rate=0.008")
"""What the schedule `quick` has since these rows were measured."""

TEACHER = "training.teacher=teacher"
TINY = ("network.stem=[8,16,32]", "network.stages=[48]", "network.hidden=32")
SMALL = ("network.stem=[8,16,48]", "network.stages=[96]", "network.hidden=64")
ONE_UNIT = ("network.units=1", "network.skip=false", "network.dropout=0.1")
TINY_FOUND = (*ONE_UNIT, "network.stem=[8,16,64]", "network.stages=[48]", "network.hidden=0")
SMALL_FOUND = (*ONE_UNIT, "network.stem=[8,16,128]", "network.stages=[96]", "network.hidden=64")
"""Networks of a search (docs/results.md), beside the presets of about their size."""

BROAD = tuple(
    f"augment.operations.{assignment}"
    for assignment in (
        "zoom.probability=0.45", "zoom.low=-0.9", "zoom.high=0.9", "stain.probability=0.16",
        "density.probability=0.2", "white_balance.probability=0.2",
    )
)  # fmt: skip
"""Wider zoom and stronger stain augmentation: the shipped models have these settings."""
LEVERS: dict[str, tuple[str, ...]] = {
    "baseline": (),
    "taught-by-stainproof": ("training.teacher=stainproof",),
    "taught-by-light": ("training.teacher=stainproof-light",),
    "little-smoothing": ("training.label_smoothing=0.03",),
    "cutmix": ("augment.mix=cutmix",),
    "group": ("network.norm=group",),
    "white-point": ("preprocessing.white_point=[255,230,203]",),
    "128px": ("preprocessing.size_px=128", "training.epochs=6"),
}
"""Name -> what it changes in a training of 11 epochs with `BROAD`, one thing each. `128px` has as
many pixels in all, in 6 epochs."""
NOT_KEPT: dict[str, tuple[str, ...]] = {
    "ibn": ("network.norm=ibn",),
    "squeeze": ("network.squeeze=true",),
}
"""Levers whose settings exist in commit fd98a0ad4061 only: IBN-a, squeeze and excitation."""

QUEUES: dict[str, list[Experiment]] = {
    "baseline": [short("baseline", FULL)],
    "start": [
        short(f"start-{scale}", f"training.start_scale={scale}", epochs=epochs)
        for scale, epochs in {0.67: 14, 0.5: 15, 0.33: 17}.items()
    ],
    "start-long": [
        short(f"start-0.5-long-{seed}", "training.start_scale=0.5", seed=seed, epochs=46)
        for seed in range(3)
    ],
    "sizes": [
        short(f"size-{name}", FULL, *assignments)
        for name, assignments in {
            "24k": TINY,
            "55k": ("network.stem=[12,24,48]", "network.stages=[72]", "network.hidden=64"),
            "small": SMALL,
            "577k": ("network.stages=[144,240]",),
            "870k": ("network.stem=[24,48,96]", "network.stages=[192,288]"),
            "1900k": ("network.stem=[24,48,96]", "network.stages=[288,448]"),
        }.items()
    ],
    "reference": [
        short("size-reference", FULL, "network.stem=[60,120]", "network.stages=[240,480]")
    ],
    "optimizers": [
        short("adam", FULL, "training.optimizer=adam", "training.weight_decay=0"),
        short("sgd", FULL, "training.optimizer=sgd", "training.learning_rate=0.1",
              "training.weight_decay=5e-4"),
        short("lion", FULL, "training.optimizer=lion", "training.learning_rate=4e-4",
              "training.weight_decay=0.2"),
        short("muon", FULL, MUON),
        *(
            short(f"muon-{rate:g}", FULL, MUON, f"training.learning_rate={rate}")
            for rate in (2e-3, 8e-3)
        ),
    ],
    "muon-long": [
        short(f"muon-long-{seed}", *BEST_MUON, seed=seed, epochs=LONG) for seed in range(3)
    ],
    "techniques": [
        short("group-norm", FULL, "network.norm=group"),
        short("mixup", FULL, "augment.mix=mixup"),
        short("no-average", FULL, "training.ema_decay=0", "training.keep_every_epoch=true"),
    ],
    "teacher": [
        short("teacher", FULL, TEACHER),
        short("teacher-small", *BEST_MUON, *SMALL, TEACHER),
    ],
    "teacher-long": [
        short(
            f"teacher-long-{seed}", *BEST_MUON, TEACHER, seed=seed, epochs=LONG
        )
        for seed in range(3)
    ],
    "taught": [
        *(short(f"small-{seed}", *BEST_MUON, *SMALL_FOUND, seed=seed) for seed in (1, 2)),
        *(
            short(f"small-taught-{seed}", *BEST_MUON, *SMALL_FOUND, TEACHER, seed=seed)
            for seed in range(3)
        ),
    ],
    "levers": [
        short("lever-narrow-0", *BEST_MUON),
        *(
            short(f"lever-{name}-{seed}", *BEST_MUON, *BROAD, *changes, seed=seed)
            for name, changes in (LEVERS | NOT_KEPT).items()
            for seed in range(3)
        ),
    ],
    "searched": [
        short(f"searched-{name}", *BEST_MUON, *assignments)
        for name, assignments in {
            "tiny": TINY,
            "20k": TINY_FOUND,
            "small": SMALL,
            "58k": SMALL_FOUND,
        }.items()
    ],
}  # fmt: skip
"""Queue -> its experiments. Those that start small have more epochs, of as many pixels in all."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the chosen trainings that have no row yet."""
    run_study(__doc__, QUEUES, ROWS, arguments)


if __name__ == "__main__":
    main()
