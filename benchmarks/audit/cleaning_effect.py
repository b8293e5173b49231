"""Train with and without cleaning, and evaluate both on clean and shifted cells.

python -m benchmarks.audit.cleaning_effect --data TRAIN --test CLEAN SHIFTED
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
    """Train twice a seed, measure, write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--test", nargs="+", required=True)
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--preset", default="light")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args(arguments)
    names = [Path(test).name for test in options.test]
    rows = [
        f"| training set | seed | images | {' | '.join(names)} |",
        "|---|---|---|" + "---|" * len(names),
    ]
    for seed in options.seeds:
        for audited in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                config = make_config(
                    options.preset, seed=seed, budget_s=parse_duration(options.budget)
                )
                run = Path(folder) / "run"
                card = api.train(options.data, run, config, audited=audited)
                measured = [api.evaluate(run, test) for test in options.test]
            rows.append(
                f"| {'cleaned' if audited else 'as it is'} | {seed} | {card.data.num_images:,} | "
                + " | ".join(one.accuracy.percent() for one in measured)
                + " |"
            )
            print(rows[-1], flush=True)
    note = f"Preset `{options.preset}`, {options.budget} of training each. {made_on()}"
    write_section("Training with and without cleaning", "\n".join([*rows, "", note]))


if __name__ == "__main__":
    main()
