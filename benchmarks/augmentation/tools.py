"""The recipe `stainproof` in other tools, each in its own idiom."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from benchmarks.common.child import KERAS, MAIN
from benchmarks.common.child import TOOLS as TOOLS_ENVIRONMENT

BATCH = 64
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
        return 0.5 if name == "d4" else self.draws[name]["probability"]

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
    from stainproof.augment.augmenter import Augmenter
    from stainproof.config.presets import make_config

    settings = make_config("light").augment
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

    bits = range(math.ceil(8 - r.high("posterize")), 8)
    return {
        "d4": [
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
        "channel_shuffle": some(v2.RandomChannelPermutation()),
        "brightness": some(v2.ColorJitter(brightness=r.ends("brightness", 1))),
        "contrast": some(v2.ColorJitter(contrast=r.powers("contrast"))),
        "posterize": some(v2.RandomChoice([v2.RandomPosterize(num, 1) for num in bits])),
        "solarize": [lambda p: v2.RandomSolarize(255 * (1 - r.high("solarize") / 2), p)],
        "equalize": [v2.RandomEqualize],
        "autocontrast": [v2.RandomAutocontrast],
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
    slope, far, shift = r.slope_degrees, r.high("translate"), 255 * r.high("rgb_shift")
    wide = tuple(2 ** (amount / 2) for amount in r.ends("aspect_ratio"))
    sides = (0.3 * r.low("cutout"), r.high("cutout"))
    shrunk = {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR}

    def moved(**how: Any) -> Part:
        return lambda p: a.Affine(**how, **border, p=p)

    def coloured(**how: Any) -> Part:
        plain = {"brightness": (1, 1), "contrast": (1, 1), "saturation": (1, 1), "hue": (0, 0)}
        return lambda p: a.ColorJitter(**{**plain, **how}, p=p)

    return {
        "d4": lambda p: a.D4(p=p),
        "amplitude_swap": lambda p: a.FDA(beta_limit=r.ends("amplitude_swap", unit=0.5), p=p),
        "rotate": moved(rotate=r.ends("rotate")),
        "zoom": moved(scale=r.powers("zoom"), keep_ratio=True),
        "aspect_ratio": moved(scale={"x": wide, "y": wide}),
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
        "white_balance": lambda p: a.PlanckianJitter(p=p),
        "saturation": coloured(saturation=r.ends("saturation", 1)),
        "hue": coloured(hue=r.ends("hue", unit=1 / 360)),
        "channel_shuffle": lambda p: a.ChannelShuffle(p=p),
        "brightness": lambda p: a.RandomBrightnessContrast(r.ends("brightness"), (0, 0), p=p),
        "contrast": lambda p: a.RandomBrightnessContrast((0, 0), r.powers("contrast", -1), p=p),
        "gamma": lambda p: a.RandomGamma(r.powers("gamma", unit=100), p=p),
        "rgb_shift": lambda p: a.RGBShift(shift, shift, shift, p=p),
        "tone_curve": lambda p: a.RandomToneCurve(r.high("tone_curve") / 2, True, p=p),
        "posterize": lambda p: a.Posterize((math.ceil(8 - r.high("posterize")), 7), p=p),
        "solarize": lambda p: a.Solarize((1 - r.high("solarize"), 1), p=p),
        "equalize": lambda p: a.Equalize(p=p),
        "autocontrast": lambda p: a.AutoContrast(method="pil", p=p),
        "blur": lambda p: a.GaussianBlur(sigma_limit=r.ends("blur"), p=p),
        "defocus": lambda p: a.Defocus((1, round(r.high("defocus"))), p=p),
        "motion_blur": lambda p: a.MotionBlur((3, round(r.high("motion_blur"))), p=p),
        "sharpen": lambda p: a.Sharpen((0, 0.4), (1, 1), p=p),
        "downscale": lambda p: a.Downscale((1 / (1 + r.high("downscale")), 1), shrunk, p=p),
        "noise": lambda p: a.GaussNoise(r.ends("noise"), p=p),
        "salt_and_pepper": lambda p: a.SaltAndPepper(r.ends("salt_and_pepper"), p=p),
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

    slope, far, shift = r.slope_degrees, r.high("translate"), r.high("rgb_shift")
    wide = tuple(2 ** (amount / 2) for amount in 2 * r.ends("aspect_ratio"))
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
        "d4": [
            lambda p: k.RandomHorizontalFlip(p=p),
            lambda p: k.RandomVerticalFlip(p=p),
            lambda p: k.RandomRotation90((1, 1), p=p),
        ],
        "rotate": moved(r.high("rotate")),
        "zoom": moved(scale=r.powers("zoom")),
        "aspect_ratio": moved(scale=wide),
        "shear": moved(shear=(-slope, slope)),
        "translate": moved(translate=(far, far)),
        "perspective": [lambda p: k.RandomPerspective(r.high("perspective"), p=p)],
        "elastic": [lambda p: k.RandomElasticTransform(**field, p=p)],
        "white_balance": [lambda p: k.RandomPlanckianJitter(p=p)],
        "saturation": [lambda p: k.RandomSaturation(r.ends("saturation", 1), p=p)],
        "hue": [lambda p: k.RandomHue(r.ends("hue", unit=1 / 360), p=p)],
        "channel_shuffle": [lambda p: k.RandomChannelShuffle(p=p)],
        "brightness": [lambda p: k.RandomBrightness(r.ends("brightness", 1), p=p)],
        "contrast": [lambda p: k.RandomContrast(r.powers("contrast"), p=p)],
        "gamma": [lambda p: k.RandomGamma(r.powers("gamma"), p=p)],
        "rgb_shift": [lambda p: k.RandomRGBShift(shift, shift, shift, p=p)],
        "posterize": [lambda p: k.RandomPosterize((8 - r.high("posterize"), 8), p=p)],
        "solarize": [lambda p: k.RandomSolarize((1 - r.high("solarize"), 1), (0, 0), p=p)],
        "equalize": [lambda p: k.RandomEqualize(p=p)],
        "autocontrast": [lambda p: k.RandomAutoContrast(p=p)],
        "blur": [lambda p: k.RandomGaussianBlur((9, 9), (0.1, r.high("blur")), p=p)],
        "motion_blur": [
            lambda p: k.RandomMotionBlur((3, round(r.high("motion_blur"))), 180.0, 0.0, p=p)
        ],
        "sharpen": [lambda p: k.RandomSharpness(r.ends("sharpen", 1), p=p)],
        "noise": [lambda p: k.RandomGaussianNoise(std=r.high("noise") / 2, p=p)],
        "salt_and_pepper": [lambda p: k.RandomSaltAndPepperNoise(r.ends("salt_and_pepper"), p=p)],
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
    wide = tuple(2 ** (amount / 2) - 1 for amount in r.ends("aspect_ratio"))
    fade, boost = r.powers("contrast", -1)
    bits = (math.ceil(8 - r.high("posterize")), 8)
    always, levels = (1.0, 1.0), {"value_range": (0, 1)}

    def layer(name: str, *values: Any, **how: Any) -> list[Any]:
        return [getattr(layers, name)(*values, **how)] if hasattr(layers, name) else []

    return {
        "d4": layer("RandomFlip", "horizontal")
        + layer("RandomFlip", "vertical")
        + layer("RandomRotation", (0.25, 0.25)),
        "rotate": layer("RandomRotation", r.ends("rotate", unit=1 / 360)),
        "zoom": layer("RandomZoom", r.powers("zoom", -1)),
        "aspect_ratio": layer("RandomZoom", wide, wide),
        "shear": layer("RandomShear", r.high("shear")),
        "translate": layer("RandomTranslation", far, far),
        "perspective": layer("RandomPerspective", always, r.high("perspective")),
        "elastic": layer("RandomElasticTransform", always, (0.5, 1), **levels),
        "saturation": layer("RandomSaturation", (0.0, 2 / 3), **levels),
        "hue": layer("RandomHue", r.high("hue") / 180, **levels),
        "brightness": layer("RandomBrightness", r.ends("brightness"), **levels),
        "contrast": layer("RandomContrast", (-fade, boost)),
        "posterize": layer("RandomPosterization", bits, **levels),
        "solarize": layer("Solarization", threshold_factor=(1 - r.high("solarize"), 1.0), **levels),
        "equalize": layer("Equalization", **levels),
        "autocontrast": layer("AutoContrast", **levels),
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


CV2 = "opencv-python-headless"
TOOLS = {
    "stainproof": Tool(stainproof, MAIN, ("stainproof", CV2), "uint8"),
    "stainproof, processes": Tool(stainproof_processes, MAIN, ("stainproof", "torch"), "uint8"),
    "Albumentations": Tool(albumentations, TOOLS_ENVIRONMENT, ("albumentations", CV2), "uint8"),
    "torchvision v2": Tool(torchvision, TOOLS_ENVIRONMENT, ("torchvision", "torch"), "uint8"),
    "Kornia": Tool(kornia, TOOLS_ENVIRONMENT, ("kornia", "torch"), "float"),
    "Kornia, drawn images only": Tool(
        kornia_drawn, TOOLS_ENVIRONMENT, ("kornia", "torch"), "float"
    ),
    "Keras": Tool(keras, TOOLS_ENVIRONMENT, ("keras", "tensorflow-cpu"), "float"),
    "Keras of the contest": Tool(keras, KERAS, ("keras", "tensorflow-cpu"), "float"),
}
OURS = ("stainproof", "stainproof, processes")
