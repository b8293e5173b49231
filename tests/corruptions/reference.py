"""Writes what the package medmnistc makes of images; runs in an environment of its own.

PYTHON reference.py IMAGES.npz OUT.npz
"""

import random
import sys
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

# medmnistc imports torchvision for corruptions that blood cells do not have.
for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
    sys.modules[name] = ModuleType(name)
sys.modules["torchvision.transforms"].functional = None  # type: ignore[attr-defined]
np.fromstring = lambda text, kind: np.frombuffer(text, kind).copy()  # type: ignore[assignment]
RANDOM = ("motion_blur", "stain_deposit", "bubble")
NUM_DRAWS = 12


def main(images_path: str, out: str) -> None:
    """Corrupt every image with every corruption.

    The angles of motion are written, too, and the mean change of the values by random corruptions.
    """
    from medmnistc.corruptions.registry import CORRUPTIONS_DS

    images = np.load(images_path)["images"]
    made: dict[str, Any] = {}
    for name, corruption in CORRUPTIONS_DS["bloodmnist"].items():
        for severity in range(5):
            random.seed(severity)
            np.random.seed(severity)  # noqa: NPY002
            changed = [corruption.apply(Image.fromarray(rgb), severity) for rgb in images]
            made[f"{name}-{severity + 1}"] = np.stack(changed)
    for name in RANDOM:
        for severity in range(5):
            random.seed(severity)
            np.random.seed(severity)  # noqa: NPY002
            apply = CORRUPTIONS_DS["bloodmnist"][name].apply
            changes = [
                np.abs(np.asarray(apply(Image.fromarray(rgb), severity)) - rgb.astype(int)).mean()
                for rgb in images
                for _ in range(NUM_DRAWS)
            ]
            made[f"{name}-{severity + 1}-change"] = np.mean(changes)
    for severity in range(5):
        np.random.seed(severity)  # noqa: NPY002
        angles = [np.random.uniform(-45, 45) for _ in images]  # noqa: NPY002
        made[f"angles-{severity + 1}"] = np.array(angles)
    np.savez(out, **made)


if __name__ == "__main__":
    main(*sys.argv[1:])
