"""The corruptions beside those of the package medmnistc; make test-corruptions runs this."""

import os
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stainproof.corruptions.bloodmnist import CORRUPTIONS, SEVERITIES, SIZE_PX, corrupt
from stainproof.corruptions.operations import line_kernel
from stainproof.synthetic import phantoms

NUM_IMAGES = 8
pytestmark = pytest.mark.timeout(600)
EQUAL = ("pixelate", "jpeg_compression", "defocus_blur", "brightness_up", "brightness_down",
         "contrast_up", "contrast_down", "saturate")  # fmt: skip
Arrays = dict[str, NDArray[np.uint8]]


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return phantoms.generate(NUM_IMAGES, seed=1, size_px=SIZE_PX)[0]


@pytest.fixture(scope="module")
def theirs(images: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Arrays:
    if "MEDMNISTC" not in os.environ:
        pytest.skip("make test-corruptions names the Python that has medmnistc")
    folder = tmp_path_factory.mktemp("medmnistc")
    np.savez(folder / "images.npz", images=images)
    script = Path(__file__).with_name("reference.py")
    files = [folder / "images.npz", folder / "made.npz"]
    subprocess.run([os.environ["MEDMNISTC"], script, *files], check=True)
    return dict(np.load(folder / "made.npz"))


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", EQUAL)
def test_deterministic_corruptions_differ_by_at_most_one_level(
    name: str, severity: int, images: NDArray[np.uint8], theirs: Arrays
) -> None:
    ours = np.stack([corrupt(rgb, name, severity, 0) for rgb in images]).astype(int)

    difference = np.abs(ours - theirs[f"{name}-{severity}"])

    assert difference.max() <= 1
    assert difference.mean() < 0.1


@pytest.mark.parametrize("severity", SEVERITIES)
def test_motion_along_the_same_direction_differs_by_at_most_one_level(
    severity: int, images: NDArray[np.uint8], theirs: Arrays
) -> None:
    radius, deviation = CORRUPTIONS["motion_blur"].parameters[severity - 1]
    angles = theirs[f"angles-{severity}"]
    for rgb, angle, expected in zip(images, angles, theirs[f"motion_blur-{severity}"], strict=True):
        kernel = line_kernel(2 * radius + 1, deviation, float(angle))
        ours = cv2.filter2D(rgb, cv2.CV_32F, kernel, borderType=cv2.BORDER_REPLICATE)

        assert np.abs(np.clip(ours, 0, 255).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize(
    ("name", "tolerance"), [("motion_blur", 0.2), ("stain_deposit", 0.3), ("bubble", 0.3)]
)
def test_random_corruptions_change_as_much_on_average(
    name: str, tolerance: float, severity: int, images: NDArray[np.uint8], theirs: Arrays
) -> None:
    before = images.astype(int)
    drawn = [
        np.abs(np.stack([corrupt(rgb, name, severity, seed, i) for i, rgb in enumerate(images)])
               - before).mean()
        for seed in range(12)
    ]  # fmt: skip

    assert np.mean(drawn) == pytest.approx(theirs[f"{name}-{severity}-change"], rel=tolerance)
