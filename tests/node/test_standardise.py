"""The static page standardises an image as Python does, pixel by pixel."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stainproof.serve.web_export import STATIC
from stainproof.shift.lab import Lab

PROGRAM = """
import {readFileSync, writeFileSync} from "node:fs";
import {standardise} from "./standardise.js";
const {width, height, profile} = JSON.parse(readFileSync("image.json", "utf8"));
const image = standardise({width, height, rgb: new Uint8Array(readFileSync("in.raw"))}, profile);
writeFileSync("out.raw", image.rgb);
process.stdout.write(`${image.width} ${image.height}`);
"""
pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="Node.js is not installed")


@pytest.mark.parametrize(
    "lab",
    [
        Lab(scale=1.37, white_point=(240, 210, 150), target_white_point=(255, 230, 203)),
        Lab(scale=0.41, white_point=(255, 230, 203), target_white_point=(201, 210, 150)),
    ],
)
@pytest.mark.parametrize("shape", [(96, 96), (61, 90), (7, 5)])
def test_pixels_are_those_of_python(lab: Lab, shape: tuple[int, int], tmp_path: Path) -> None:
    found, expected = both(lab, shape, tmp_path)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("shape", [(1300, 900), (901, 2048), (2048, 2048), (4100, 2)])
def test_a_long_image_is_shrunk_before_it_gets_a_border_as_in_python(
    shape: tuple[int, int], tmp_path: Path
) -> None:
    lab = Lab(scale=0.7, white_point=(255, 230, 203), target_white_point=(201, 210, 150))
    found, expected = both(lab, shape, tmp_path)
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= 1 and difference.mean() < 1e-4  # OpenCV sums in float32


def both(
    lab: Lab, shape: tuple[int, int], tmp_path: Path
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return an image of random noise as JavaScript and as Python standardise it."""
    rgb = np.random.default_rng(0).integers(256, size=(*shape, 3), dtype=np.uint8)
    for name in ("standardise.js", "resize.js"):
        (tmp_path / name).write_bytes((STATIC / name).read_bytes())
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "program.js").write_text(PROGRAM)
    (tmp_path / "in.raw").write_bytes(rgb.tobytes())
    profile = {"scale": lab.scale, "gains": lab.gains.tolist()}
    facts = {"height": shape[0], "width": shape[1], "profile": profile}
    (tmp_path / "image.json").write_text(json.dumps(facts))
    done = subprocess.run(
        ["node", "program.js"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    expected = lab.standardise(rgb)
    assert done.stdout == f"{expected.shape[1]} {expected.shape[0]}"
    found = np.frombuffer((tmp_path / "out.raw").read_bytes(), np.uint8)
    return found.reshape(expected.shape), expected
