"""Augmentation beside other tools, operation by operation, and its share of a training.

.venv/bin/python benchmarks/augmentation.py [--repeats 3] [--seconds 6] [--images 10000]

Every tool runs in an environment and a process of its own, in turn, on the same generated cells.
"""

import argparse
import contextlib
import json
import math
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from results_page import made_on, write_section

BATCH = 64
WARM_UP = 8
"""Batches before the clock starts."""
STEPS = 8
"""Training steps that are timed at once."""
OPERATED = 512
"""Images that every operation is timed on at once."""
PICTURES = 4096
"""Draws after which every made-up picture has been made."""
KNOT_PX = 96 / 6
"""Between the knots of our elastic field, 4 to 8 of them across."""

Part = Callable[[float], Any]
"""Makes a tool's transform for a probability."""
Parts = dict[str, list[Part]]
"""Our operation -> what does it in another tool, one after the other."""


class Recipe:
    """Our operations as other tools are told of them: how often, from where to where."""

    def __init__(self, draws: dict[str, dict[str, float]]):
        self.draws = draws

    def share(self, name: str) -> float:
        """Return the probability; a turn is three even chances: two mirrors, a quarter turn."""
        return 0.5 if name == "turn" else self.draws[name]["probability"]

    def low(self, name: str) -> float:
        """Return the least amount."""
        return self.draws[name]["low"]

    def high(self, name: str) -> float:
        """Return the greatest amount."""
        return self.draws[name]["high"]

    def ends(self, name: str, origin: float = 0.0, unit: float = 1.0) -> tuple[float, float]:
        """Return both, in other units from another origin."""
        return origin + unit * self.low(name), origin + unit * self.high(name)

    def powers(self, name: str, origin: float = 0.0, unit: float = 1.0) -> tuple[float, float]:
        """Return two to the power of both, in other units from another origin."""
        return origin + unit * 2 ** self.low(name), origin + unit * 2 ** self.high(name)

    @property
    def slope_degrees(self) -> float:
        """Return the greatest angle of a shear."""
        return math.degrees(math.atan(self.high("shear")))

    @property
    def quality(self) -> tuple[int, int]:
        """Return the qualities of JPEG."""
        return round(100 - self.high("jpeg")), round(100 - self.low("jpeg"))

    @property
    def cut_area(self) -> tuple[float, float]:
        """Return the shares of an image that one hidden rectangle takes."""
        return self.low("cutout") ** 2, self.high("cutout") ** 2


@dataclass
class Side:
    """A tool at work."""

    batches: Iterator[Any]
    operations: list[str]
    """Of ours, that it does."""
    unit: int = 1
    """Batches that are timed as one: ours makes new foreign pictures every epoch."""


def stainproof(images: Any, recipe: Recipe, threads: int) -> Side:
    """Change batches in threads."""
    change = _batches_of_ours(images, recipe, threads)
    return Side(map(change, count()), list(recipe.draws), len(images) // BATCH)


def stainproof_processes(images: Any, recipe: Recipe, threads: int) -> Side:
    """Change batches in the processes of a loader."""
    change = _batches_of_ours(images, recipe, 1)
    return Side(_loaded(change, threads, None), list(recipe.draws), len(images) // BATCH)


def _batches_of_ours(images: Any, recipe: Recipe, workers: int) -> Callable[[int], Any]:
    from stainproof.augment.recipe import Augmenter
    from stainproof.config import make_config

    settings = make_config("quick").augment
    without = [name for name in settings.operations if name not in recipe.draws]
    augmenter = Augmenter(images, settings, 0, without=without, workers=workers)
    num = len(images) // BATCH

    def change(step: int) -> Any:
        epoch, part = divmod(step, num)
        return augmenter.batch(BATCH * part + np.arange(BATCH), epoch)

    return change


class Endless:
    """A data set whose items are made on demand."""

    def __init__(self, make: Callable[[int], Any]):
        self.make = make

    def __len__(self) -> int:
        return 1 << 40

    def __getitem__(self, index: int) -> Any:
        return self.make(index)


def _loaded(make: Callable[[int], Any], threads: int, batch: int | None = BATCH) -> Iterator[Any]:
    """Load as a training would: in this process, or in one process a core."""
    from torch.utils.data import DataLoader

    workers = threads if threads > 1 else 0
    return iter(DataLoader(Endless(make), batch, num_workers=workers))  # type: ignore[arg-type]


def torchvision(images: Any, recipe: Recipe, threads: int) -> Side:
    """Change uint8 tensors, one image at a time."""
    import torch
    from torchvision.transforms import v2

    parts = _torchvision(recipe)
    operations = [name for name in recipe.draws if name in parts]
    change = v2.Compose([make(recipe.share(name)) for name in operations for make in parts[name]])
    rows = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    return Side(_loaded(lambda index: change(rows[index % len(rows)]), threads), operations)


def _torchvision(r: Recipe) -> Parts:
    from torchvision.transforms import v2

    smooth = {"interpolation": v2.InterpolationMode.BILINEAR}
    far = r.high("translate")

    def some(transform: Any) -> list[Part]:
        return [lambda p: v2.RandomApply([transform], p)]

    def moved(degrees: float = 0.0, **how: Any) -> list[Part]:
        return some(v2.RandomAffine(degrees, **how, **smooth))

    bits = range(math.ceil(8 - r.high("posterise")), 8)
    return {
        "turn": [
            v2.RandomHorizontalFlip,
            v2.RandomVerticalFlip,
            *some(v2.RandomRotation((90, 90))),
        ],
        "rotate": moved(r.high("rotate")),
        "zoom": moved(scale=r.powers("zoom")),
        "shear": moved(shear=r.slope_degrees),
        "translate": moved(translate=(far, far)),
        "perspective": [lambda p: v2.RandomPerspective(r.high("perspective"), p, **smooth)],
        "elastic": some(v2.ElasticTransform(20 * 96 * r.high("elastic"))),
        "saturation": some(v2.ColorJitter(saturation=r.ends("saturation", 1))),
        "hue": some(v2.ColorJitter(hue=r.ends("hue", unit=1 / 360))),
        "shuffle_channels": some(v2.RandomChannelPermutation()),
        "brightness": some(v2.ColorJitter(brightness=r.ends("brightness", 1))),
        "contrast": some(v2.ColorJitter(contrast=r.powers("contrast"))),
        "posterise": some(v2.RandomChoice([v2.RandomPosterize(num, 1) for num in bits])),
        "solarise": [lambda p: v2.RandomSolarize(255 * (1 - r.high("solarise") / 2), p)],
        "equalise": [v2.RandomEqualize],
        "stretch_levels": [v2.RandomAutocontrast],
        "blur": some(v2.GaussianBlur(9, (0.1, r.high("blur")))),
        "sharpen": [lambda p: v2.RandomAdjustSharpness(1 + r.high("sharpen") / 2, p)],
        "noise": some(v2.GaussianNoise(sigma=r.high("noise") / 2)),
        "jpeg": some(v2.JPEG(r.quality)),
        "cutout": [lambda p: v2.RandomErasing(p, r.cut_area, value=127)],
    }


def albumentations(images: Any, recipe: Recipe, threads: int) -> Side:
    """Change uint8 arrays, one image at a time."""
    from albumentations import Compose

    parts = _albumentations(recipe)
    operations = [name for name in recipe.draws if name in parts]
    change = Compose([parts[name](recipe.draws[name]["probability"]) for name in operations])

    def changed(index: int) -> Any:
        own, other = (images[place % len(images)] for place in (index, 7 * index))
        return change(image=own, fda_metadata=[other])["image"]

    return Side(_loaded(changed, threads), operations)


def _albumentations(r: Recipe) -> dict[str, Part]:
    import albumentations as a
    import cv2

    border = {"border_mode": cv2.BORDER_REFLECT_101}
    slope, far, shift = r.slope_degrees, r.high("translate"), 255 * r.high("shift_channels")
    wide = tuple(2 ** (amount / 2) for amount in r.ends("stretch"))
    sides = (0.3 * r.low("cutout"), r.high("cutout"))
    shrunk = {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR}

    def moved(**how: Any) -> Part:
        return lambda p: a.Affine(**how, **border, p=p)

    def coloured(**how: Any) -> Part:
        plain = {"brightness": (1, 1), "contrast": (1, 1), "saturation": (1, 1), "hue": (0, 0)}
        return lambda p: a.ColorJitter(**{**plain, **how}, p=p)

    return {
        "turn": lambda p: a.D4(p=p),
        "swap_amplitude": lambda p: a.FDA(beta_limit=r.ends("swap_amplitude", unit=0.5), p=p),
        "rotate": moved(rotate=r.ends("rotate")),
        "zoom": moved(scale=r.powers("zoom"), keep_ratio=True),
        "stretch": moved(scale={"x": wide, "y": wide}),
        "shear": moved(shear={"x": (-slope, slope)}),
        "translate": moved(translate_percent=(-far, far)),
        "perspective": lambda p: a.Perspective((0, r.high("perspective") / 2), **border, p=p),
        "elastic": lambda p: a.ElasticTransform(
            30 * 96 * r.high("elastic"), KNOT_PX / 2, **border, p=p
        ),
        "stain": lambda p: a.HEStain(
            intensity_scale_range=(1 - r.high("stain"), 1 + r.high("stain")),
            augment_background=True,
            p=p,
        ),
        "white": lambda p: a.PlanckianJitter(p=p),
        "saturation": coloured(saturation=r.ends("saturation", 1)),
        "hue": coloured(hue=r.ends("hue", unit=1 / 360)),
        "shuffle_channels": lambda p: a.ChannelShuffle(p=p),
        "brightness": lambda p: a.RandomBrightnessContrast(r.ends("brightness"), (0, 0), p=p),
        "contrast": lambda p: a.RandomBrightnessContrast((0, 0), r.powers("contrast", -1), p=p),
        "gamma": lambda p: a.RandomGamma(r.powers("gamma", unit=100), p=p),
        "shift_channels": lambda p: a.RGBShift(shift, shift, shift, p=p),
        "smooth_colour": lambda p: a.RandomToneCurve(r.high("smooth_colour") / 2, True, p=p),
        "posterise": lambda p: a.Posterize((math.ceil(8 - r.high("posterise")), 7), p=p),
        "solarise": lambda p: a.Solarize((1 - r.high("solarise"), 1), p=p),
        "equalise": lambda p: a.Equalize(p=p),
        "stretch_levels": lambda p: a.AutoContrast(method="pil", p=p),
        "blur": lambda p: a.GaussianBlur(sigma_limit=r.ends("blur"), p=p),
        "defocus": lambda p: a.Defocus((1, round(r.high("defocus"))), p=p),
        "motion": lambda p: a.MotionBlur((3, round(r.high("motion"))), p=p),
        "sharpen": lambda p: a.Sharpen((0, 0.4), (1, 1), p=p),
        "resample": lambda p: a.Downscale((1 / (1 + r.high("resample")), 1), shrunk, p=p),
        "noise": lambda p: a.GaussNoise(r.ends("noise"), p=p),
        "salt": lambda p: a.SaltAndPepper(r.ends("salt"), p=p),
        "jpeg": lambda p: a.ImageCompression(quality_range=r.quality, p=p),
        "cutout": lambda p: a.CoarseDropout((1, 3), sides, sides, "random_uniform", p=p),
        "grid_mask": lambda p: a.GridDropout(
            sum(r.ends("grid_mask")) / 2, unit_size_range=(14, 38), fill="random_uniform", p=p
        ),
    }


def kornia(images: Any, recipe: Recipe, threads: int) -> Side:
    """Change float batches by Kornia's own draws.

    It computes a change for the whole batch, then keeps it for the images that drew it.
    """
    from kornia.augmentation import ImageSequential

    parts = _kornia(recipe)
    operations = [name for name in recipe.draws if name in parts]
    made = [make(recipe.share(name)) for name in operations for make in parts[name]]
    return Side(_float_batches(images, ImageSequential(*made)), operations)


def kornia_drawn(images: Any, recipe: Recipe, threads: int) -> Side:
    """Change float batches by Kornia, each change computed only for the images that drew it."""
    import torch

    parts = _kornia(recipe)
    operations = [name for name in recipe.draws if name in parts]
    made = [(make(1.0), recipe.share(name)) for name in operations for make in parts[name]]

    def change(rows: Any) -> Any:
        for transform, share in made:
            drawn = (torch.rand(len(rows)) < share).nonzero()[:, 0]
            if len(drawn):
                rows[drawn] = transform(rows[drawn])
        return rows

    return Side(_float_batches(images, change), operations)


def _float_batches(images: Any, change: Callable[[Any], Any]) -> Iterator[Any]:
    import torch

    num = len(images) // BATCH
    with torch.inference_mode():
        for step in count():
            rows = torch.from_numpy(images[BATCH * (step % num) :][:BATCH])
            yield change(rows.permute(0, 3, 1, 2).float().contiguous() / 255)


def _kornia(r: Recipe) -> Parts:
    import kornia.augmentation as k

    slope, far, shift = r.slope_degrees, r.high("translate"), r.high("shift_channels")
    wide = tuple(2 ** (amount / 2) for amount in 2 * r.ends("stretch"))
    sigma = KNOT_PX / 2
    field = {
        "kernel_size": 2 * (2 * math.ceil(2 * sigma) + 1,),
        "sigma": (sigma, sigma),
        "alpha": 2 * (40 * r.high("elastic"),),
        "padding_mode": "reflection",
    }

    def moved(degrees: float = 0.0, **how: Any) -> list[Part]:
        return [lambda p: k.RandomAffine(degrees, **how, padding_mode="reflection", p=p)]

    return {
        "turn": [
            lambda p: k.RandomHorizontalFlip(p=p),
            lambda p: k.RandomVerticalFlip(p=p),
            lambda p: k.RandomRotation90((1, 1), p=p),
        ],
        "rotate": moved(r.high("rotate")),
        "zoom": moved(scale=r.powers("zoom")),
        "stretch": moved(scale=wide),
        "shear": moved(shear=(-slope, slope)),
        "translate": moved(translate=(far, far)),
        "perspective": [lambda p: k.RandomPerspective(r.high("perspective"), p=p)],
        "elastic": [lambda p: k.RandomElasticTransform(**field, p=p)],
        "white": [lambda p: k.RandomPlanckianJitter(p=p)],
        "saturation": [lambda p: k.RandomSaturation(r.ends("saturation", 1), p=p)],
        "hue": [lambda p: k.RandomHue(r.ends("hue", unit=1 / 360), p=p)],
        "shuffle_channels": [lambda p: k.RandomChannelShuffle(p=p)],
        "brightness": [lambda p: k.RandomBrightness(r.ends("brightness", 1), p=p)],
        "contrast": [lambda p: k.RandomContrast(r.powers("contrast"), p=p)],
        "gamma": [lambda p: k.RandomGamma(r.powers("gamma"), p=p)],
        "shift_channels": [lambda p: k.RandomRGBShift(shift, shift, shift, p=p)],
        "posterise": [lambda p: k.RandomPosterize((8 - r.high("posterise"), 8), p=p)],
        "solarise": [lambda p: k.RandomSolarize((1 - r.high("solarise"), 1), (0, 0), p=p)],
        "equalise": [lambda p: k.RandomEqualize(p=p)],
        "stretch_levels": [lambda p: k.RandomAutoContrast(p=p)],
        "blur": [lambda p: k.RandomGaussianBlur((9, 9), (0.1, r.high("blur")), p=p)],
        "motion": [lambda p: k.RandomMotionBlur((3, round(r.high("motion"))), 180.0, 0.0, p=p)],
        "sharpen": [lambda p: k.RandomSharpness(r.ends("sharpen", 1), p=p)],
        "noise": [lambda p: k.RandomGaussianNoise(std=r.high("noise") / 2, p=p)],
        "salt": [lambda p: k.RandomSaltAndPepperNoise(r.ends("salt"), p=p)],
        "jpeg": [lambda p: k.RandomJPEG(r.quality, p=p)],
        "cutout": [lambda p: k.RandomErasing(r.cut_area, value=0.5, p=p)],
    }


def keras(images: Any, recipe: Recipe, threads: int) -> Side:
    """Change float batches by layers in a tf.data map, each only the images that drew it.

    Most layers have no probability of their own.
    """
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    layers = _keras(recipe)
    operations = [name for name in recipe.draws if layers.get(name)]

    def on_drawn(rows: Any, layer: Any, share: float) -> Any:
        drawn = tf.where(tf.random.uniform((BATCH,)) < share)

        def changed() -> Any:
            some = tf.ensure_shape(tf.gather_nd(rows, drawn), (None, *images.shape[1:]))
            return tf.tensor_scatter_nd_update(rows, drawn, layer(some, training=True))

        return tf.cond(tf.size(drawn) > 0, changed, lambda: rows)

    def change(rows: Any) -> Any:
        rows = tf.cast(rows, tf.float32) / 255
        for name in operations:
            for layer in layers[name]:
                rows = on_drawn(rows, layer, recipe.share(name))
        return rows

    def one_by_one(layer: Any) -> Any:
        """Change each image alone: in a batch of unknown size this layer would copy the first."""
        return lambda rows, training: tf.map_fn(layer, rows)

    layers["elastic"] = [one_by_one(layer) for layer in layers["elastic"]]

    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1
    data = tf.data.Dataset.from_tensor_slices(images).repeat().batch(BATCH, drop_remainder=True)
    return Side(iter(data.map(change, threads).with_options(options)), operations)


def _keras(r: Recipe) -> dict[str, list[Any]]:
    """Return the layers that this release has."""
    from keras import layers

    far = r.high("translate")
    wide = tuple(2 ** (amount / 2) - 1 for amount in r.ends("stretch"))
    fade, boost = r.powers("contrast", -1)
    bits = (math.ceil(8 - r.high("posterise")), 8)
    always, levels = (1.0, 1.0), {"value_range": (0, 1)}

    def layer(name: str, *values: Any, **how: Any) -> list[Any]:
        return [getattr(layers, name)(*values, **how)] if hasattr(layers, name) else []

    return {
        "turn": layer("RandomFlip", "horizontal")
        + layer("RandomFlip", "vertical")
        + layer("RandomRotation", (0.25, 0.25)),
        "rotate": layer("RandomRotation", r.ends("rotate", unit=1 / 360)),
        "zoom": layer("RandomZoom", r.powers("zoom", -1)),
        "stretch": layer("RandomZoom", wide, wide),
        "shear": layer("RandomShear", r.high("shear")),
        "translate": layer("RandomTranslation", far, far),
        "perspective": layer("RandomPerspective", always, r.high("perspective")),
        "elastic": layer("RandomElasticTransform", always, (0.5, 1), **levels),
        "saturation": layer("RandomSaturation", (0.0, 2 / 3), **levels),
        "hue": layer("RandomHue", r.high("hue") / 180, **levels),
        "brightness": layer("RandomBrightness", r.ends("brightness"), **levels),
        "contrast": layer("RandomContrast", (-fade, boost)),
        "posterise": layer("RandomPosterization", bits, **levels),
        "solarise": layer("Solarization", threshold_factor=(1 - r.high("solarise"), 1.0), **levels),
        "equalise": layer("Equalization", **levels),
        "stretch_levels": layer("AutoContrast", **levels),
        "blur": layer("RandomGaussianBlur", always, 9, (0.1, r.high("blur")), **levels),
        "sharpen": layer("RandomSharpness", (0.5, 1.0), **levels),
        "noise": layer("GaussianNoise", r.high("noise") / 2),
        "cutout": layer("RandomErasing", always, r.ends("cutout"), **levels),
    }


@dataclass(frozen=True)
class Tool:
    """Who is measured, and where it lives."""

    begin: Callable[[Any, Recipe, int], Side]
    environment: str
    packages: tuple[str, ...]
    gives: str


AUGMENT, CV2 = ".venv-augment", "opencv-python-headless"
TOOLS = {
    "stainproof": Tool(stainproof, ".venv", ("stainproof", CV2), "uint8"),
    "stainproof, processes": Tool(stainproof_processes, ".venv", ("stainproof", "torch"), "uint8"),
    "Albumentations": Tool(albumentations, AUGMENT, ("albumentations", CV2), "uint8"),
    "torchvision v2": Tool(torchvision, AUGMENT, ("torchvision", "torch"), "uint8"),
    "Kornia": Tool(kornia, AUGMENT, ("kornia", "torch"), "float"),
    "Kornia, drawn images only": Tool(kornia_drawn, AUGMENT, ("kornia", "torch"), "float"),
    "Keras": Tool(keras, AUGMENT, ("keras", "tensorflow-cpu"), "float"),
    "Keras of the contest": Tool(keras, ".venv-keras", ("keras", "tensorflow-cpu"), "float"),
}
OURS = ("stainproof", "stainproof, processes")


def work(tool: Tool, case: dict[str, Any]) -> dict[str, Any]:
    """Measure one tool in this process."""
    from importlib.metadata import version

    with contextlib.suppress(ImportError):
        import cv2

        cv2.setNumThreads(1)
    if "torch" in tool.packages:
        import torch

        torch.set_num_threads(case["threads"])
    side = tool.begin(np.load(case["images"]), Recipe(case["draws"]), case["threads"])
    for _ in range(WARM_UP):
        assert len(next(side.batches)) == BATCH, "a batch of another size"
    num, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < case["seconds"]:
        num += sum(len(next(side.batches)) for _ in range(side.unit))
    versions = ", ".join(f"{name} {version(name)}" for name in tool.packages)
    return {"speed": num / passed, "operations": side.operations, "versions": versions}


def measure(name: str, case: dict[str, Any]) -> dict[str, Any]:
    """Measure one tool in a fresh process of its own environment."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "NO_ALBUMENTATIONS_UPDATE": "1"}
    chosen = {"KERAS_BACKEND": "tensorflow", "OMP_NUM_THREADS": str(case["threads"])}
    done = subprocess.run(
        [f"{TOOLS[name].environment}/bin/python", __file__, "--worker", name,
         "--case", json.dumps(case)],
        env={**os.environ, **quiet, **chosen}, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr[-1500:]} (`make bench` makes the environments)")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{name}, {case['threads']} threads: {result['speed']:,.0f} a second", flush=True)
    return result


@dataclass
class Row:
    """What one tool gave, repeat by repeat."""

    speeds: list[float]
    ratios: list[float]
    """Of our whole recipe's speed to it."""
    same: list[float]
    """Of our speed with its operations alone to it."""
    operations: list[str]
    versions: str


def compare(images: Path, draws: Any, threads: int, options: argparse.Namespace) -> dict[str, Row]:
    """Measure every tool, and ours with each tool's operations, in turn."""
    case = {"images": str(images), "threads": threads, "seconds": options.seconds}
    rows: dict[str, Row] = {}
    for _ in range(options.repeats):
        ours = 0.0
        for name in TOOLS:
            if name == OURS[1] and threads == 1:
                continue
            found = measure(name, {**case, "draws": draws})
            speed = found["speed"]
            row = rows.setdefault(name, Row([], [], [], found["operations"], found["versions"]))
            row.speeds.append(speed)
            ours = ours or speed
            row.ratios.append(ours / speed)
            if name not in OURS:
                fewer = {one: draws[one] for one in found["operations"]}
                row.same.append(measure(OURS[0], {**case, "draws": fewer})["speed"] / speed)
    return rows


def beside_other_tools(images: Path, draws: Any, options: argparse.Namespace) -> str:
    """Return the tools' table and what each of them left out."""
    cores = os.cpu_count() or 1
    lines = [
        "| tool | operations | gives | threads | images a second | our whole recipe, times as fast "
        "| with its operations alone |",
        "|---|---|---|---|---|---|---|",
    ]
    rows: dict[str, Row] = {}
    for threads in sorted({1, cores}):
        rows = compare(images, draws, threads, options)
        lines += [
            f"| {name} | {len(row.operations)} of {len(draws)} | {TOOLS[name].gives} | {threads} "
            f"| {spread(row.speeds)} | {spread(row.ratios, 2)} "
            f"| {spread(row.same, 2) if row.same else ''} |"
            for name, row in rows.items()
        ]
    lines.append("")
    for name, row in rows.items():
        missing = ", ".join(one for one in draws if one not in row.operations)
        lines.append(f"- {name}: {row.versions}" + (f"; without {missing}." if missing else "."))
    return "\n".join(lines)


def spread(values: list[float], digits: int = 0) -> str:
    """Write the median and the range."""
    middle, low, high = (f"{v:,.{digits}f}" for v in (median(values), min(values), max(values)))
    return f"{middle} ({low} to {high})"


def share_of_training(images: Any, repeats: int) -> str:
    """Return what augmentation takes of a training's processor time, in words."""
    import torch
    from torch.nn import functional as F

    from stainproof.config import make_config
    from stainproof.models.network import build_network, num_parameters, to_input
    from stainproof.training.optim import make_optimizer

    config = make_config("quick")
    network = build_network(config, 8).train()
    optimizer = make_optimizer(network, config.training)
    targets = torch.eye(8)[torch.arange(BATCH) % 8]
    batch = torch.from_numpy(images[:BATCH])

    def step() -> None:
        logits = network(to_input(batch, config.input))
        smoothing = config.training.label_smoothing
        loss = F.cross_entropy(logits, targets, label_smoothing=smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss.item()

    step()
    change = _one_epoch(images, "stainproof")
    steps, changes, shares = [], [], []
    for _ in range(repeats):
        step_s = processor_s(step, STEPS) / (STEPS * BATCH)
        change_s = processor_s(change) / len(images)
        steps.append(1 / step_s)
        changes.append(1 / change_s)
        shares.append(100 * change_s / (change_s + step_s))
    return (
        f"Share of a training's processor time: {spread(shares, 1)} %. Light network "
        f"({num_parameters(network):,} parameters), batches of {BATCH}: a step (forward, loss, "
        f"backward, AdamW) does {spread(steps)} images a second of processor time, augmentation "
        f"{spread(changes)}."
    )


def _one_epoch(images: Any, recipe: str) -> Callable[[], None]:
    """Return what changes every image once, for one epoch after another."""
    from stainproof.augment.recipe import Augmenter
    from stainproof.config import make_config

    settings = make_config("quick", assignments=(f"augment.recipe={recipe}",)).augment
    augmenter, epochs = Augmenter(images, settings, 0), count()
    visits = np.arange(len(images))

    def change() -> None:
        epoch = next(epochs)
        for start in range(0, len(visits), BATCH):
            augmenter.batch(visits[start : start + BATCH], epoch)

    return change


def processor_s(do: Callable[[], None], times: int = 1) -> float:
    """Return the processor time of doing something so often."""
    began = time.process_time()
    for _ in range(times):
        do()
    return time.process_time() - began


def by_recipe(images: Any, repeats: int) -> str:
    """Return the recipes' table."""
    from stainproof.recipes import RECIPES

    changes = {name: _one_epoch(images, name) for name in RECIPES}
    speeds: dict[str, list[float]] = {name: [] for name in RECIPES}
    for _ in range(repeats):
        for name, change in changes.items():
            speeds[name].append(len(images) / processor_s(change))
    lines = [f"| {name} | {spread(found)} |" for name, found in speeds.items()]
    return "\n".join(["| recipe | images a second |", "|---|---|", *lines])


def by_operation(images: Any, draws: Any, repeats: int) -> str:
    """Return the operations' table."""
    from stainproof.augment.operations import apply
    from stainproof.augment.overlay import Pictures
    from stainproof.recipes import FAMILIES, RANGES

    family = {name: group for group, names in FAMILIES.items() for name in names}
    pictures, rng = Pictures(images, "", 0), np.random.default_rng(0)
    for _ in range(PICTURES):
        pictures.any(rng, 0)

    def change(name: str, amounts: list[float]) -> None:
        for image, amount in zip(images, amounts, strict=False):
            apply(image, [(name, amount)], rng, pictures)

    times: dict[str, list[float]] = {name: [] for name in RANGES}
    for _ in range(repeats):
        for name, ends in RANGES.items():
            amounts = rng.uniform(*ends, OPERATED).tolist()
            change(name, amounts[:WARM_UP])
            began = time.process_time()
            change(name, amounts)
            times[name].append(1e6 * (time.process_time() - began) / OPERATED)
    lines = ["| operation | family | amounts | share of images in `stainproof` | µs an image |"]
    lines.append("|---|---|---|---|---|")
    for name, (low, high) in RANGES.items():
        share = draws[name]["probability"] if name in draws else 0
        lines.append(
            f"| {name} | {family[name]} | {low:g} to {high:g} | {100 * share:.0f} % "
            f"| {spread(times[name])} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure all of it; write the sections."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement, at least")
    parser.add_argument("--images", type=int, default=10_000, help="in an epoch")
    parser.add_argument("--worker", choices=list(TOOLS), help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print("\n" + json.dumps(work(TOOLS[options.worker], json.loads(options.case))))
        return
    import cv2
    import torch

    from stainproof.config import make_config
    from stainproof.data import phantom

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    images, _ = phantom.generate(options.images, seed=1)
    given = make_config("quick").augment.operations
    draws = {name: draw.model_dump() for name, draw in given.items() if draw.probability}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.npy"
        np.save(file, images)
        tools = beside_other_tools(file, draws, options)
    write_section(
        "Augmentation beside other tools",
        f"The recipe `stainproof` on {options.images:,} generated cells of 96 px, uint8 in memory, "
        f"and the same in other tools: each operation of ours that a tool has itself, as often, "
        f"over the nearest range, in the same order; median and range of {options.repeats} "
        f"processes a tool, in turn, at least {options.seconds:g} s each after {WARM_UP} batches "
        f"of {BATCH}. Ours makes its foreign pictures anew every epoch, within the time, and draws "
        "the border and sometimes the order; the others have one border and one order. "
        "Albumentations and torchvision change image after image, on all cores in the processes "
        "of a DataLoader; Kornia and Keras change float batches in their own threads, Keras in a "
        "tf.data map, each layer only the images that drew it. What mixes labels is no operation "
        f"here.\n\n{tools}\n\n{made_on()}",
    )
    write_section(
        "Augmentation by operation and recipe",
        f"{share_of_training(images, options.repeats)} One thread; median and range of "
        f"{options.repeats}, in turn; processor time throughout.\n\n"
        f"An operation alone, on {OPERATED} images, amounts drawn from its range, foreign "
        f"pictures ready:\n\n"
        f"{by_operation(images, draws, options.repeats)}\n\n"
        f"A whole epoch of {options.images:,} images, foreign pictures made within it:\n\n"
        f"{by_recipe(images, options.repeats)}\n\n{made_on()}",
    )


if __name__ == "__main__":
    main()
