"""Train on phantom cells only, evaluate on real ones.

python -m benchmarks.synthetic.transfer_to_real_cells --real CLEAN [--budget 4m]
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.page import made_on, write_section
from stainproof import api
from stainproof.config.parsing import parse_duration
from stainproof.config.presets import make_config


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure and write the row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", required=True, help="labelled real cells of the eight classes")
    parser.add_argument("--budget", default="4m")
    parser.add_argument("--images", type=int, default=8000, help="synthetic cells")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        cells = api.make_phantoms(Path(folder) / "phantoms", options.images, seed=options.seed)
        config = make_config(seed=options.seed, budget_s=parse_duration(options.budget))
        card = api.train(cells, Path(folder) / "run", config)
        real = api.evaluate(Path(folder) / "run", options.real)
    write_section(
        "From phantoms to real cells",
        f"Light network, {card.num_epochs} epochs ({options.budget}) on {options.images:,} "
        f"phantoms, seed {options.seed}, no real image seen. {made_on()}\n\n"
        "| measured on | images | accuracy | balanced accuracy |\n|---|---|---|---|\n"
        f"| {real.source} (real cells; chance is 12.5 % balanced) | {real.num_images} "
        f"| {real.accuracy.percent()} | {real.balanced_accuracy.percent()} |",
    )


if __name__ == "__main__":
    main()
