"""Accuracy after equal minutes: stainproof, Ultralytics, fastai and the AN2DL paper's pipeline.

python -m benchmarks.training.time_to_accuracy --data TRAIN --tests CLEAN SHIFTED OTHER_LAB
    [--minutes 20] [--only stainproof ...]

All start from random weights and run alone on all cores with their own defaults for images of this
size. Finished rows are kept in training/time_to_accuracy_rows.jsonl.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.child import MAIN, TOOLS, run_module
from benchmarks.common.page import OUT, made_on, write_section

ROWS = OUT / "training/time_to_accuracy_rows.jsonl"
SIZE_PX = 96
SIDES = {
    "stainproof": (MAIN, "stainproof train, preset light"),
    "ultralytics": (TOOLS, "Ultralytics yolo11n-cls from its yaml"),
    "fastai": (
        TOOLS,
        "fastai, mobilenetv3_small_050 of timm, one cycle",
    ),
    "keras": (TOOLS, "the AN2DL paper's pipeline in Keras, light network"),
}
"""Side -> environment, what it is."""
Predict = Callable[[Sequence[str]], Any]
"""Maps image files to probabilities (n, classes)."""


def train_stainproof(folder: Path, classes: list[str], minutes: float) -> tuple[Predict, int]:
    """Train as the README says."""
    from stainproof import Classifier, api
    from stainproof.config.presets import make_config
    from stainproof.data.decoding import decode

    config = make_config("light", budget_s=60 * minutes)
    card = api.train(folder / "train.csv", folder / "run", config)
    classifier = Classifier.load(folder / "run")
    order = [classifier.classes.index(name) for name in classes]
    return (
        lambda files: classifier.predict_proba([decode(Path(f)).rgb for f in files])[:, order],
        card.num_parameters,
    )


def train_ultralytics(folder: Path, classes: list[str], minutes: float) -> tuple[Predict, int]:
    """Train the smallest classifier of Ultralytics for a time."""
    from ultralytics import YOLO

    model = YOLO("yolo11n-cls.yaml", task="classify")
    model.train(
        data=str(folder / "parted"), imgsz=SIZE_PX, time=minutes / 60, device="cpu",
        pretrained=False, project=str(folder), name="yolo", plots=False, workers=2,
    )  # fmt: skip
    best = YOLO(folder / "yolo" / "weights" / "best.pt")
    order = [{name: i for i, name in best.names.items()}[name] for name in classes]

    def predict(files: Sequence[str]) -> Any:
        found = best.predict(
            list(files), imgsz=SIZE_PX, batch=64, stream=True, verbose=False, device="cpu"
        )
        return np.array([one.probs.data.tolist() for one in found])[:, order]

    return predict, sum(p.numel() for p in model.model.parameters())


def train_fastai(folder: Path, classes: list[str], minutes: float) -> tuple[Predict, int]:
    """Train a small network of timm as fastai's tutorial does, for as many epochs as fit."""
    from fastai.vision.all import (
        ImageDataLoaders,
        Resize,
        accuracy,
        aug_transforms,
        vision_learner,
    )  # fmt: skip

    began = time.monotonic()
    loaders = ImageDataLoaders.from_folder(
        folder / "parted", train="train", valid="val", item_tfms=Resize(SIZE_PX),
        batch_tfms=aug_transforms(), bs=64, num_workers=2, device="cpu",
    )  # fmt: skip

    def begin() -> Any:
        return vision_learner(loaders, "mobilenetv3_small_050", pretrained=False, metrics=accuracy)

    start = time.monotonic()
    begin().fit_one_cycle(1)
    epoch_s = time.monotonic() - start
    learner = begin()
    learner.fit_one_cycle(max(1, int((60 * minutes - (start - began) - epoch_s) / epoch_s)))
    order = [list(loaders.vocab).index(name) for name in classes]

    def predict(files: Sequence[str]) -> Any:
        batches = loaders.test_dl([Path(file) for file in files])
        return learner.get_preds(dl=batches)[0].numpy()[:, order]

    return predict, sum(p.numel() for p in learner.model.parameters())


def train_keras(folder: Path, classes: list[str], minutes: float) -> tuple[Predict, int]:
    """Train as in the AN2DL paper: flips, RandAugment, CutMix, plateau, early stopping."""
    import keras
    import tensorflow as tf

    from benchmarks.training.step_beside_keras import keras_network
    from stainproof.config.presets import make_config

    began = time.monotonic()
    randomly = [keras.layers.RandomFlip(), keras.layers.RandAugment(value_range=(0, 1))]
    mix = keras.layers.CutMix()

    def batches(part: str) -> Any:
        read = keras.utils.image_dataset_from_directory(
            folder / "parted" / part, label_mode="categorical", class_names=classes,
            image_size=(SIZE_PX, SIZE_PX), batch_size=128, seed=0,
        )  # fmt: skip

        def change(images: Any, labels: Any) -> Any:
            images = images / 255
            for layer in randomly:
                images = layer(images, training=True)
            mixed = mix({"images": images, "labels": labels}, training=True)
            return mixed["images"], mixed["labels"]

        return read.map(change, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)

    class Budget(keras.callbacks.Callback):  # type: ignore[misc]
        """Ends training when the time is used up."""

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if time.monotonic() - began > 60 * minutes:
                self.model.stop_training = True

    network = keras_network(make_config(network="light"))
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    network.fit(
        batches("train"), validation_data=batches("val"), epochs=1000, verbose=2,
        callbacks=[
            Budget(),
            keras.callbacks.EarlyStopping("val_accuracy", patience=40, restore_best_weights=True),
            keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.2, patience=20),
        ],
    )  # fmt: skip

    def predict(files: Sequence[str]) -> Any:
        read = (keras.utils.load_img(f, target_size=(SIZE_PX, SIZE_PX)) for f in files)
        images = np.stack([np.asarray(image, dtype=np.float32) / 255 for image in read])
        return network.predict(images, batch_size=64, verbose=0)

    return predict, network.count_params()


TRAIN = {
    "stainproof": train_stainproof,
    "ultralytics": train_ultralytics,
    "fastai": train_fastai,
    "keras": train_keras,
}


def work(side: str, folder: Path, minutes: float) -> None:
    """Train one side in this process, measure it on every test, print the row."""
    from importlib.metadata import PackageNotFoundError, version

    tests = json.loads((folder / "tests.json").read_text())
    classes = sorted(path.name for path in (folder / "parted" / "train").iterdir())
    began = time.monotonic()
    predict, num_parameters = TRAIN[side](folder, classes, minutes)
    row: dict[str, Any] = {
        "side": side,
        "budget": minutes,
        "minutes": (time.monotonic() - began) / 60,
        "num_parameters": num_parameters,
        "accuracy": {},
        "versions": {},
    }
    for name, files in tests.items():
        labels = np.array([classes.index(label) for _, label in files])
        found = np.asarray(predict([file for file, _ in files])).argmax(axis=1)
        row["accuracy"][name] = [int((found == labels).sum()), len(labels)]
    for package in (
        "stainproof",
        "torch",
        "ultralytics",
        "fastai",
        "timm",
        "keras",
        "tensorflow-cpu",
    ):
        try:
            row["versions"][package] = version(package)
        except PackageNotFoundError:
            continue
    print(json.dumps(row))


def lay_out(folder: Path, data: str, tests: Sequence[str]) -> None:
    """Write what every side reads: a manifest, class folders in two parts, lists of tests."""
    import csv

    from stainproof.config.schema import Preprocessing, SplitConfig
    from stainproof.data import sources
    from stainproof.data.splits import make_split

    found = sources.load(data, Preprocessing())
    split = make_split(found, SplitConfig(val_fraction=0.1), 0)
    root = Path(data).parent if Path(data).is_file() else Path(data)
    rows = [
        ((root / name).resolve(), found.classes[label])
        for name, label in zip(found.names, found.labels, strict=True)
    ]
    with (folder / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *rows])
    for part in ("train", "val"):
        for index in split.indices(part):
            path, label = rows[index]
            link = folder / "parted" / part / label / f"{index:06d}{path.suffix}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    listed = {}
    for test in tests:
        listing = sources.list_source(test)
        listed[listing.source] = [
            (str((Path(test) / name).resolve()), listing.classes[label])
            for name, label in zip(listing.names, listing.labels, strict=True)
        ]
    (folder / "tests.json").write_text(json.dumps(listed))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sides that have no row yet, write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--tests", nargs="+")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--only", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--rows", type=Path, default=ROWS)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.side:
        work(options.side, options.folder, options.minutes)
        return
    rows = [json.loads(line) for line in _lines(options.rows)]
    done = {(row["side"], row["budget"]) for row in rows}
    missing = [side for side in options.only if (side, options.minutes) not in done]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if missing:
            lay_out(folder, options.data, options.tests)
        for side in missing:
            print("begins", side, flush=True)
            row = _in_child(side, folder, options.minutes)
            rows.append(row)
            with options.rows.open("a") as file:
                file.write(json.dumps(row) + "\n")
    _write(sorted(rows, key=lambda row: (-row["budget"], list(SIDES).index(row["side"]))))


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _in_child(side: str, folder: Path, minutes: float) -> dict[str, Any]:
    printed = run_module(
        "training.time_to_accuracy", "--side", side, "--folder", str(folder),
        "--minutes", str(minutes), environment=SIDES[side][0],
    )  # fmt: skip
    row: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return {**row, "made_on": made_on()}


def _write(rows: list[dict[str, Any]]) -> None:
    from stainproof.evaluation.intervals import proportion

    names = list(rows[0]["accuracy"])
    lines = [
        f"| what | parameters | minutes | {' | '.join(names)} |",
        "|---|---|---|" + "---|" * len(names),
    ]
    notes = []
    for row in rows:
        found = " | ".join(proportion(*row["accuracy"][name]).percent() for name in names)
        facts = f"{row['num_parameters']:,} | {row['minutes']:.1f}"
        lines.append(f"| {SIDES[row['side']][1]} | {facts} | {found} |")
        versions = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
        notes.append(f"- {row['side']}, {row['budget']:g} minutes: {versions}. {row['made_on']}")
    how = (
        "From random weights, on all cores, one at a time, one run each (ours with seed 0, the "
        "others as they seed themselves); minutes as they were, all included; accuracy with its "
        "95 % interval (Wilson)."
    )
    write_section("Time to accuracy", "\n".join([*lines, "", how, "", *notes]))


if __name__ == "__main__":
    main()
