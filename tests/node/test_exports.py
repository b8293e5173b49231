"""The JavaScript example of docs/exports.md, in Node.js, beside Python's probabilities."""

import re
import subprocess
from pathlib import Path

import pytest

from stainproof import Classifier, api
from tests.common.tiny import tiny_config

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / "build" / "node" / "node_modules"


def test_the_example_in_javascript_gives_the_probability_of_python(tmp_path: Path) -> None:
    if not PACKAGES.is_dir():
        pytest.skip("its packages are not installed: make test-node")
    cells = api.make_phantoms(tmp_path / "cells", 120, seed=1, size_px=32)
    api.train(cells, tmp_path / "runs" / "first", tiny_config())
    cell = next(cells.rglob("*.png"))
    (tmp_path / "cell.png").write_bytes(cell.read_bytes())
    page = (ROOT / "docs" / "exports.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```javascript\n(.*?)```", page, re.DOTALL)
    (tmp_path / "example.mjs").write_text(program)
    (tmp_path / "node_modules").symlink_to(PACKAGES)
    done = subprocess.run(
        ["node", "example.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    label, probability = done.stdout.split()
    classifier = Classifier.load(tmp_path / "runs" / "first", "onnxruntime")
    probs = classifier.predict_proba(cell)[0]
    assert label == classifier.classes[int(probs.argmax())]
    assert float(probability) == pytest.approx(float(probs.max()), abs=1e-4)
