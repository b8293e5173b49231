"""stainproof export: the files of the static page."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from stainproof import api
from stainproof.runs.folder import RunFolder
from stainproof.serve.page_files import page_contents
from stainproof.serve.web_export import CONTENT_SECURITY_POLICY, RUNTIME_FILES, export_web
from tests.common.command import run_command
from tests.common.served import train_tiny

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(shared_cell_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny(shared_cell_folder, tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A folder with the names of the npm package."""
    folder = tmp_path / "onnxruntime-web"
    (folder / "dist").mkdir(parents=True)
    (folder / "package.json").write_text('{"name": "onnxruntime-web", "version": "1.30.0"}')
    for name in RUNTIME_FILES:
        (folder / "dist" / name).write_text(name)
    return folder


def test_the_folder_has_all_that_the_page_loads(run: Path, runtime: Path, tmp_path: Path) -> None:
    page = export_web(run, tmp_path / "page", runtime)
    found = {str(path.relative_to(page.parent)) for path in page.parent.rglob("*.*")}
    modules = {f"page/{name}" for name in page_contents() if not name.endswith(".html")}
    assert found >= {f"runtime/{name}" for name in RUNTIME_FILES} | modules
    facts = json.loads((page.parent / "model" / "model.json").read_text())
    card = RunFolder(run).read_card()
    assert facts["model"]["weights_sha256"] == card.weights_sha256
    assert facts["uncertain_below"] == 0.7 and "70 %" in facts["uncertain"]
    onnx = (page.parent / "model" / "model.onnx").read_bytes()
    assert hashlib.sha256(onnx).hexdigest() == facts["onnx_sha256"] == card.onnx_sha256
    note = json.loads((page.parent / "runtime" / "runtime.json").read_text())
    assert note["version"] == "1.30.0" and set(note["sha256"]) == set(RUNTIME_FILES)


def test_the_policy_names_no_other_server(run: Path, runtime: Path, tmp_path: Path) -> None:
    text = export_web(run, tmp_path / "page", runtime).read_text(encoding="utf-8")
    assert f'content="{CONTENT_SECURITY_POLICY}"' in text
    assert text.index("Content-Security-Policy") < text.index("<link")
    assert not {"http:", "https:", "*", "data:"} & set(CONTENT_SECURITY_POLICY.split())
    assert 'src="/' not in text and '<link rel="stylesheet" href="/' not in text


def test_a_mistake_is_one_line_and_writes_nothing(
    run: Path, runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    out = tmp_path / "page"
    words = ("export", run, "--web", out, "--runtime")
    done = run_command(monkeypatch, capfd, *words, tmp_path)
    assert done.code == 2 and "npm install onnxruntime-web" in done.err
    assert done.err.count("\n") == 1
    (runtime / "package.json").write_text('{"name": "another", "version": "1"}')
    done = run_command(monkeypatch, capfd, *words, runtime)
    assert done.code == 2 and "the npm package another" in done.err
    api.ensemble([run, run], tmp_path / "both")
    done = run_command(monkeypatch, capfd, *("export", tmp_path / "both", *words[2:]), runtime)
    assert done.code == 2 and done.err.count("\n") == 1
    assert not out.exists()
