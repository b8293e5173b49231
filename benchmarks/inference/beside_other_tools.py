"""Inference speed in memory and as a whole command, beside Keras and Ultralytics.

python -m benchmarks.inference.beside_other_tools [--repeats 3] [--seconds 2] [--files 10000]

Every side runs in a process of its own. The networks are untrained, since the time does not depend
on the weights. Keras has the same networks, Ultralytics its own smallest classifier.
"""

import argparse
import csv
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.common.child import KERAS, MAIN, TOOLS, run_module
from benchmarks.common.page import made_on, peak_memory_mb, write_section

if TYPE_CHECKING:
    from stainproof.config.schema import Config

SIZE_PX = 96
NETWORKS = ("light", "an2dl")
BATCHES = (1, 64)
OURS = ("onnxruntime", "openvino", "torch")
SIDES = {
    **{f"stainproof, {name}": (MAIN, name) for name in OURS},
    "torch, the trained network": (MAIN, "eager"),
    "Keras predict": (KERAS, "keras"),
    "Keras, compiled call": (KERAS, "keras-call"),
    "Ultralytics predict": (TOOLS, "ultralytics"),
}
"""What is measured -> environment, name of the side."""
COMMANDS = {
    "stainproof predict": (MAIN, "stainproof"),
    "Keras script": (KERAS, "keras"),
    "Ultralytics script": (TOOLS, "ultralytics"),
}
Answer = Callable[[Any], Any]


def make_run(folder: Path, config: "Config") -> Path:
    """Train for a moment, for a run in a new folder with the network of these settings."""
    from stainproof import api
    from stainproof.config.presets import with_assignments

    cells = api.make_phantoms(folder.with_name(f"{folder.name}-cells"), 80, size_px=SIZE_PX)
    moment = ("training.epochs=1", "augment.recipe=none", "augment.validation=none")
    api.train(cells, folder, with_assignments(config, moment))
    return folder


def open_side(side: str, folder: Path, network: str) -> Answer:
    """Return what maps uint8 (b, 96, 96, 3) to probabilities."""
    if side in OURS:
        from stainproof import Classifier

        return Classifier.load(folder / network, side).predict_proba
    if side == "eager":
        return _eager(folder / network)
    if side == "ultralytics":
        return _ultralytics()
    import tensorflow as tf

    from benchmarks.training.step_beside_keras import keras_network
    from stainproof.config.presets import make_config

    model = keras_network(make_config(network=network))
    if side == "keras":
        return lambda images: model.predict(images.astype(np.float32) / 255, verbose=0)
    call = tf.function(lambda x: model(x, training=False))
    return lambda images: call(images.astype(np.float32) / 255).numpy()


def _untrained_yolo() -> Any:
    """Return Ultralytics' smallest classifier for eight classes."""
    from ultralytics import YOLO
    from ultralytics.nn.tasks import ClassificationModel

    model = YOLO("yolo11n-cls.yaml", task="classify")
    model.model = ClassificationModel("yolo11n-cls.yaml", nc=8, verbose=False)
    return model


def _ultralytics() -> Answer:
    """Return what answers on all cores; by itself Ultralytics leaves one idle."""
    import torch

    model = _untrained_yolo()

    def answer(images: Any) -> Any:
        return model.predict(
            list(images), imgsz=SIZE_PX, batch=len(images), verbose=False, device="cpu"
        )

    answer(np.zeros((1, SIZE_PX, SIZE_PX, 3), dtype=np.uint8))
    torch.set_num_threads(os.cpu_count() or 1)
    return answer


def _eager(run: Path) -> Answer:
    import torch

    from stainproof.models.preprocessing import to_tensor
    from stainproof.models.weights import load_network
    from stainproof.runs.folder import RunFolder

    card = RunFolder(run).read_card()
    network = load_network(RunFolder(run), card)

    @torch.inference_mode()
    def answer(images: Any) -> Any:
        return torch.softmax(
            network(to_tensor(torch.from_numpy(images), card.preprocessing)), 1
        ).numpy()

    return answer


def answers_a_second(side: str, folder: Path, network: str, batch: int, seconds: float) -> float:
    """Time one side in this process."""
    answer = open_side(side, folder, network)
    images = np.random.default_rng(0).integers(
        256, size=(batch, SIZE_PX, SIZE_PX, 3), dtype=np.uint8
    )
    for _ in range(3):
        answer(images)
    number, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        answer(images)
        number += batch
    return number / passed


def whole_command(side: str, folder: Path) -> None:
    """Predict a folder of files into a table, as a user's script would."""
    files, table = folder / "files", folder / f"{side}.csv"
    if side == "stainproof":
        from stainproof import api

        api.predict(folder / "light", [str(files)], table)
    elif side == "keras":
        import keras

        model = keras.models.load_model(folder / "light.keras")
        images = keras.utils.image_dataset_from_directory(
            files, labels=None, image_size=(SIZE_PX, SIZE_PX), batch_size=64, shuffle=False
        )
        probs = model.predict(images.map(lambda x: x / 255), verbose=0)
        _write_table(table, zip(images.file_paths, probs.tolist(), strict=True))
    else:
        found = _untrained_yolo().predict(
            str(files), imgsz=SIZE_PX, batch=64, stream=True, verbose=False, device="cpu"
        )
        _write_table(table, ((one.path, one.probs.data.tolist()) for one in found))
    print(peak_memory_mb())


def _write_table(path: Path, rows: Any) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([name, *probs] for name, probs in rows)


def child(environment: str, *arguments: str) -> str:
    """Run this module in an environment and return its last line.

    This process stays small: a child's peak memory counts from its parent's.
    """
    printed = run_module("inference.beside_other_tools", *arguments, environment=environment)
    return printed.splitlines()[-1]


def ratio(ours: list[float], theirs: list[float]) -> str:
    """Write the median and range of ours to theirs, repeat by repeat."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _chosen(
    sides: dict[str, tuple[str, str]], environments: Sequence[str]
) -> dict[str, tuple[str, str]]:
    return {name: side for name, side in sides.items() if side[0] in environments}


def compare_answers(folder: Path, options: argparse.Namespace) -> list[str]:
    """Return the table of answers a second."""
    rows = [
        "| network | batch | side | images a second | ONNX Runtime, times as fast |",
        "|---|---|---|---|---|",
    ]
    sides = _chosen(SIDES, options.environments)
    for network in options.networks:
        for batch in BATCHES:
            speeds: dict[str, list[float]] = {name: [] for name in sides}
            for _ in range(options.repeats):
                for name, (environment, side) in sides.items():
                    case = json.dumps([side, str(folder), network, batch, options.seconds])
                    speeds[name].append(float(child(environment, "--answers", case)))
            ours = next(iter(speeds.values()))
            for name, found in speeds.items():
                speed = f"{median(found):,.0f}"
                rows.append(f"| {network} | {batch} | {name} | {speed} | {ratio(ours, found)} |")
                print(rows[-1], flush=True)
    return rows


def compare_commands(folder: Path, options: argparse.Namespace) -> list[str]:
    """Return the table of whole commands."""
    rows = [
        "| command | images | seconds | stainproof, times as fast | peak memory, MB |",
        "|---|---|---|---|---|",
    ]
    commands = _chosen(COMMANDS, options.environments)
    for number in sorted({1, min(1000, options.files), options.files}):
        files = folder / "files"
        shutil.rmtree(files, ignore_errors=True)
        files.mkdir()
        for index, path in zip(range(number), sorted((folder / "all").iterdir()), strict=False):
            os.link(path, files / f"{index:06d}.jpg")
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        peaks = {}
        for _ in range(options.repeats):
            for name, (environment, side) in commands.items():
                began = time.perf_counter()
                peaks[name] = float(child(environment, "--command", side, "--folder", str(folder)))
                seconds[name].append(time.perf_counter() - began)
        ours = next(iter(seconds.values()))
        for name, found in seconds.items():
            rows.append(
                f"| {name} | {number:,} | {median(found):.2f} | {ratio(found, ours)} "
                f"| {peaks[name]:,.0f} |"
            )
            print(rows[-1], flush=True)
    return rows


def make_files(folder: Path, number: int) -> None:
    """Write generated cells as JPEG files."""
    import cv2

    from stainproof.synthetic import phantoms

    (folder / "all").mkdir()
    images, _ = phantoms.generate(number, seed=3, size_px=SIZE_PX)
    for index, rgb in enumerate(images):
        cv2.imwrite(str(folder / "all" / f"{index:06d}.jpg"), rgb[:, :, ::-1])


def save_keras(folder: Path) -> None:
    """Write the light network as a Keras file."""
    from benchmarks.training.step_beside_keras import keras_network
    from stainproof.config.presets import make_config

    keras_network(make_config(network="light")).save(folder / "light.keras")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both tables, write the sections."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--environments", nargs="+", default=[MAIN, KERAS, TOOLS])
    parser.add_argument("--answers", help=argparse.SUPPRESS)
    parser.add_argument("--command", help=argparse.SUPPRESS)
    parser.add_argument("--make", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--keras-file", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.answers:
        side, folder, *case = json.loads(options.answers)
        print(answers_a_second(side, Path(folder), *case))
    elif options.command:
        whole_command(options.command, options.folder)
    elif options.make:
        from stainproof.config.presets import make_config

        for network in options.networks:
            make_run(options.folder / network, make_config(network=network))
        make_files(options.folder, options.files)
        print("made")
    elif options.keras_file:
        save_keras(options.folder)
        print("saved")
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """Make what is measured, measure, write."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        networks = ("--networks", *options.networks)
        child(MAIN, "--make", "--files", str(options.files), "--folder", name, *networks)
        if KERAS in options.environments:
            child(KERAS, "--keras-file", "--folder", name)
        answers, commands = compare_answers(folder, options), compare_commands(folder, options)
    how = (
        f"median of {options.repeats} processes a side, in turn; ratios with their range; all "
        "cores, 96 px."
    )
    note = f"Uint8 images in memory; {how}\n\n{made_on()}"
    write_section("Inference throughput", "\n".join([*answers, "", note]))
    note = (
        "From the start of the process to the written table, JPEG files, the light network "
        f"(Ultralytics: its own, and by its default all cores but one); {how}\n\n{made_on()}"
    )
    write_section("Whole commands", "\n".join([*commands, "", note]))


if __name__ == "__main__":
    main()
