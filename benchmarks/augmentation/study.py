"""The augmentation study: equal trainings that differ in their recipe.

python -m benchmarks.augmentation.study --data TRAIN --tests CLEAN SHIFTED OTHER_LAB
    --runs FOLDER --truth DS2_TRUTH.CSV [--only screen ablation ...] [--share 1/2]

Every training uses one thread; `--share 1/2` and `--share 2/2` in two processes use two cores.
Finished rows are kept in augmentation/rows.jsonl, and a later call continues.
"""

from collections.abc import Sequence

from benchmarks.common.page import OUT
from benchmarks.common.study import LONG, SHORT, run_study, short
from stainproof.config.recipes import FAMILIES
from stainproof.search.experiment import Experiment

ROWS = OUT / "augmentation/rows.jsonl"
TTA_MODES = 3
"""Images that a step of the Jensen-Shannon loss computes for one."""

UNSEEN = {
    "blur": ("blur", "defocus", "motion_blur", "downscale", "detail_swap"),
    "posterize": ("posterize", "solarize", "equalize"),
    "overlay": ("overlays",),
    "cutout": ("occlusion",),
    "noise": ("grain", "jpeg"),
    "hue": ("hue", "channel_shuffle", "rgb_shift", "tone_curve", "stains"),
}
"""Family of distortions in ds2 -> operations that are kin to it."""


def _without(*names: str) -> str:
    return f"augment.without={list(names)!r}"


QUEUES: dict[str, list[Experiment]] = {
    "screen": [
        short(f"screen-{name}", f"augment.recipe={name}")
        for name in (
            "stainproof", "randaugment", "none", "prime", "trivialaugment", "augmix",
            "overlays", "stains", "hybrid", "simple",
        )
    ]
    + [
        short(
            "screen-augmix-jsd",
            "augment.recipe=augmix",
            "augment.consistency=12",
            epochs=round(SHORT / TTA_MODES),
        ),
    ],
    "variants": [
        short("variant-bfloat16", "training.precision=bfloat16"),
        short("variant-unclustered", "augment.clustered=1"),
        short("variant-cutmix", "augment.mix=cutmix"),
        short(
            "variant-fewer-overlays",
            "augment.operations.blend.probability=0.16",
            "augment.operations.multiply.probability=0.04",
            "augment.operations.cutout.probability=0.11",
        ),
    ],
    "unseen": [short(f"unseen-{name}", _without(*kin)) for name, kin in UNSEEN.items()],
    "long": [
        short(f"long-{recipe}-{seed}", f"augment.recipe={recipe}", seed=seed, epochs=LONG)
        for seed in range(3)
        for recipe in ("stainproof", "randaugment")
    ],
    "ablation": [
        short(f"ablation-{family}", _without(family))
        for family in FAMILIES
        if family not in ("symmetries", "overlays", "occlusion")
    ],
}  # fmt: skip
"""Queue -> its experiments. Of the ablation, two families are rows of `unseen`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the chosen trainings that have no row yet."""
    run_study(__doc__, QUEUES, ROWS, arguments)


if __name__ == "__main__":
    main()
