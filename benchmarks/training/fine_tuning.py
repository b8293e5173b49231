"""Fine-tune a trained model on few images, against the same network from random weights.

python -m benchmarks.training.fine_tuning MODEL [--data CELLS --test CELLS] [--images 20 100 500]
                                                [--seconds 120] [--seeds 0 1 2]

`MODEL` is a shipped model or a run. Of the training cells, that many images of every class are
drawn; every way gets the same time. Without `--data`, cells and test are phantoms of another
laboratory. A row that is in `fine_tuning_rows.jsonl` is not repeated.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.page import OUT, made_on, write_section
from stainproof import api, files
from stainproof.config.schema import Preprocessing
from stainproof.data import sources
from stainproof.data.dataset import Dataset
from stainproof.runs.folder import RunFolder
from stainproof.runs.shipped import find_run

RANDOM, TUNED, FROZEN = "random weights", "fine-tuned", "fine-tuned, last layer only"
WAYS = (RANDOM, TUNED, FROZEN)
NUM_TEST_PHANTOMS = 800


def draw(data: Dataset, num_a_class: int, seed: int) -> Dataset:
    """Return up to this many images of every class, drawn at random."""
    rng = np.random.default_rng(seed)
    chosen: list[NDArray[np.int64]] = [
        rng.permutation(np.flatnonzero(data.labels == label))[:num_a_class]
        for label in range(len(data.classes))
    ]
    return data.subset(np.sort(np.concatenate(chosen)))


def write_folder(data: Dataset, folder: Path) -> None:
    """Write the images into class folders."""
    for index, (rgb, label) in enumerate(zip(data.images, data.labels, strict=True)):
        files.write_picture(folder / data.classes[label] / f"{index:05d}.png", rgb)


def settings_of(way: str, model: str) -> dict[str, Any]:
    """Return the arguments of `train` for a way."""
    if way != RANDOM:
        return {"start_from": model, "frozen": way == FROZEN}
    card = RunFolder(find_run(model)).read_card()
    network = card.network.model_copy(update={"pretrained": ""})
    return {
        f"{group}.{key}": list(value) if isinstance(value, tuple) else value
        for group, settings in (("network", network), ("preprocessing", card.preprocessing))
        for key, value in settings.model_dump(exclude_defaults=True).items()
    }


def measure(model: str, few: Dataset, test: str, way: str, seconds: float, seed: int) -> Any:
    """Train one way and return its row."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_folder(few, folder / "cells")
        arguments = settings_of(way, model)
        card = api.train(
            folder / "cells", folder / "run", seed=seed, budget=seconds,
            **arguments, training__threads=1,
        )  # fmt: skip
        found = api.evaluate(folder / "run", test)
    return {
        "way": way, "seed": seed, "seconds": seconds, "epochs": card.num_epochs,
        "training_images": len(few), "test_images": found.num_images,
        "accuracy": found.accuracy.value, "balanced": found.balanced_accuracy.value,
    }  # fmt: skip


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a table: mean and standard deviation over the seeds."""
    lines = ["| images a class | way | seeds | epochs | accuracy | balanced accuracy |"]
    lines.append("|---|---|---|---|---|---|")
    for num in sorted({row["images"] for row in rows}):
        for way in WAYS:
            seeds = [row for row in rows if (row["images"], row["way"]) == (num, way)]
            if seeds:
                epochs = f"{mean(row['epochs'] for row in seeds):.0f}"
                figures = " | ".join(spread([row[key] for row in seeds]) for key in FIGURES)
                lines.append(f"| {num} | {way} | {len(seeds)} | {epochs} | {figures} |")
    return "\n".join(lines)


FIGURES = ("accuracy", "balanced")


def spread(shares: Sequence[float]) -> str:
    """Return mean and standard deviation of shares in per cent."""
    deviation = f" ± {100 * stdev(shares):.1f}" if len(shares) > 1 else ""
    return f"{100 * mean(shares):.1f}{deviation} %"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--data", help="labelled cells to draw from")
    parser.add_argument("--test", help="labelled cells of the same laboratory")
    parser.add_argument("--images", type=int, nargs="+", default=[20, 100, 500])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args(arguments)
    if bool(options.data) != bool(options.test):
        parser.error("--data and --test go together")
    card = RunFolder(find_run(options.model)).read_card()
    record = OUT / "training" / "fine_tuning_rows.jsonl"
    lines = record.read_text().splitlines() if record.exists() else []
    rows = {row["key"]: row for row in map(json.loads, lines)}
    with tempfile.TemporaryDirectory() as folder:
        data, test = options.data, options.test
        size_px = card.preprocessing.size_px
        if not data:
            num = 8 * max(options.images)
            phantoms = partial(api.make_phantoms, lab="other", size_px=size_px)
            data = phantoms(Path(folder) / "cells", num, seed=11)
            test = phantoms(Path(folder) / "test", NUM_TEST_PHANTOMS, seed=12)
        loaded = sources.load(data, Preprocessing(size_px=size_px))
        where = Path(options.data).name if options.data else "phantoms of another laboratory"
        keys = []
        for num in options.images:
            for seed in options.seeds:
                for way in WAYS:
                    asked = (card.weights_sha256[:12], where, num, way, options.seconds, seed)
                    keys.append(" | ".join(map(str, asked)))
                    if keys[-1] in rows:
                        continue
                    row = measure(
                        options.model, draw(loaded, num, seed), str(test), way,
                        options.seconds, seed,
                    )  # fmt: skip
                    rows[keys[-1]] = {"key": keys[-1], "images": num, **row}
                    files.append_line(record, json.dumps(rows[keys[-1]]))
                    print(rows[keys[-1]], flush=True)
    chosen = [rows[key] for key in keys]
    write_section(
        "Fine-tuning",
        f"Starts from {Path(options.model).name} (weights {card.weights_sha256[:12]}); cells: "
        f"{where}, tested on {chosen[0]['test_images']:,} other cells of it; "
        f"{options.seconds:g} s a training on one thread; mean ± standard deviation over the "
        f"seeds. Classes with fewer images have what there are. {made_on()}\n\n{table(chosen)}",
    )


if __name__ == "__main__":
    main()
