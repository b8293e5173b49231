"""The Python API as a user meets it: names, help, examples."""

import doctest
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import stainproof
from stainproof import Classifier, api
from stainproof.config.presets import make_config
from stainproof.errors import CheckpointError, ConfigError
from stainproof.runs.folder import RunFolder
from tests.common.tiny import TINY

EVERYDAY = (
    "Classifier", "Config", "train", "evaluate", "predict", "audit", "clean", "report", "average",
    "ensemble", "quantise", "adapt", "calibrate", "check", "count", "crop", "explain", "pick",
    "predict_fields", "profile",
)  # fmt: skip


def test_every_name_can_be_completed_and_imported() -> None:
    for name in EVERYDAY:
        assert name in stainproof.__all__
        assert callable(getattr(stainproof, name))
    assert {*EVERYDAY, "__version__", "api", "errors"} == set(dir(stainproof))
    assert stainproof.__version__[0].isdigit()
    assert stainproof.api is api
    with pytest.raises(AttributeError, match="'stainproof' has no attribute 'tain'"):
        stainproof.tain  # noqa: B018


def run_program(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_imports_nothing_slow() -> None:
    program = (
        "import sys, stainproof; dir(stainproof); stainproof.__version__; "
        "print([name for name in ('torch', 'numpy', 'pydantic') if name in sys.modules])"
    )
    assert run_program(program) == "[]\n"


def test_audit_is_the_function_whatever_was_imported_before() -> None:
    program = (
        "import stainproof.audit.findings\n"
        "from stainproof import audit, api\n"
        "from stainproof.audit import cleaning\n"
        "assert stainproof.audit is audit is api.audit, audit\n"
        "from stainproof import *\n"
        "assert audit is api.audit\n"
    )
    run_program(program)


@pytest.mark.slow
def test_training_takes_keywords_as_the_command_takes_options(
    cell_folder: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {
        "preprocessing__size_px": 32, "training__threads": 1, "training__precision": "float32",
        "augment.recipe": "d4", "network.stem": (8, 16), "network.stages": [24],
        "network.blocks": 1, "training.epochs": 1,
    }  # fmt: skip
    card = api.train(cell_folder, tmp_path / "run", seed=3, preset="light", **settings)
    assert card.seed == 3
    expected = make_config("light", seed=3, assignments=(*TINY, "training.epochs=1"))
    run = RunFolder(tmp_path / "run")
    assert run.read_config() == expected
    with pytest.raises(ConfigError, match="seed: not allowed here; a resumed run keeps its own"):
        api.train(cell_folder, run.path, resume=True, seed=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"config": stainproof.Config(), "preset": "light"}, "preset: not allowed here; config"),
        ({"preset": "fast"}, "preset 'fast' is unknown; allowed: tiny"),
        ({"budget": "soon"}, "budget 'soon' is no length of time"),
        ({"training__batchsize": 3}, "training.batchsize is unknown; allowed: batch_size"),
        ({"epochs": 3}, "epochs is unknown; allowed: preset, seed"),
        ({"resume": True}, "no config.toml in it; there is nothing to resume"),
    ],
)
def test_bad_arguments_of_train_are_refused_in_one_line(
    cell_folder: Path, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises((ConfigError, CheckpointError), match=message) as raised:
        api.train(cell_folder, tmp_path / "run", **arguments)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


EXAMPLES = [stainproof, api.train, Classifier]


def examples_of(documented: Any) -> list[doctest.DocTest]:
    found = doctest.DocTestFinder(recurse=False).find(documented, globs={})
    return [one for one in found if one.examples]


@pytest.mark.parametrize("documented", EXAMPLES, ids=lambda one: one.__name__)
def test_help_has_an_example(documented: Any) -> None:
    assert examples_of(documented)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_examples_of_the_docstrings_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    api.make_phantoms(tmp_path / "cells", 160, seed=1)
    api.make_phantoms(tmp_path / "other_lab", 40, seed=2, lab="other")
    (tmp_path / "new_cells").mkdir()
    for path, name in zip((tmp_path / "cells" / "ig").iterdir(), "ab", strict=False):
        shutil.copy(path, tmp_path / "new_cells" / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    for documented in EXAMPLES:
        for one in examples_of(documented):
            failed, _ = doctest.DocTestRunner().run(one)
            assert not failed, capsys.readouterr().out
