"""What is installed: the wheel's files, locks, dependencies and their documentation."""

import ast
import re
import tomllib
import zipfile
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.common.scripts import load_script

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "stainproof"
LOCKS = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PUBLIC = {"_replace", "_asdict", "_fields", "_make", "_repr_html_", "_repr_svg_"}
"""Documented names that begin with an underscore: of named tuples and of Jupyter."""


def pins(lock: str) -> dict[str, list[tuple[str, str]]]:
    """Return the versions and markers of every package of a lock."""
    text = (LOCKS / f"{lock}.lock").read_text(encoding="utf-8")
    found: dict[str, list[tuple[str, str]]] = {}
    for name, version, marker in re.findall(
        r"^([\w.-]+)==([^ ;]+)(?: ; (.*?))? \\$", text, re.MULTILINE
    ):
        found.setdefault(name, []).append((version, marker))
    return found


def test_the_wheel_has_every_file_of_the_package(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    from hatchling.builders.wheel import WheelBuilder

    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("stainproof/")}
    files = {
        path.relative_to(SOURCE.parent).as_posix()
        for path in SOURCE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == files
    assert {"stainproof/search/space.toml", "stainproof/py.typed"} <= files


@pytest.mark.parametrize("lock", ["torch", "dev", "keras", "bench", "ray", "tools"])
def test_every_locked_package_has_hashes_and_pytorch_is_not_locked(lock: str) -> None:
    text = (LOCKS / f"{lock}.lock").read_text(encoding="utf-8")
    blocks = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert blocks and all("--hash=sha256:" in block for block in blocks)
    assert not {"torch", "torchvision", "triton"} & pins(lock).keys()
    assert "://" not in text  # the address of a mirror


@pytest.mark.parametrize(
    "lock, extras",
    [
        ("dev", ["dev", "keras", "openvino", "postgresql"]),
        ("bench", ["transfer", "openvino"]),
        ("ray", ["ray"]),
        ("keras", []),
    ],
)
def test_a_lock_satisfies_pyproject(lock: str, extras: list[str]) -> None:
    locked = pins(lock)
    groups = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][e] for e in extras)]
    for requirement in map(Requirement, chain(*groups)):
        if requirement.name in ("torch", "stainproof"):
            continue
        versions = locked[requirement.name.lower()]  # `make lock` adds what is missing
        assert all(version in requirement.specifier for version, _ in versions), requirement


def test_what_pytorch_needs_has_one_version_in_its_lock_and_the_others() -> None:
    assert pins("torch").items() <= pins("dev").items()


def test_every_direct_dependency_is_reviewed() -> None:
    review = load_script(ROOT / "docs" / "dependencies.py")
    rows = review.rows_of((ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8"))
    requirements = review.requirements()
    assert rows.keys() == requirements.keys() == review.PURPOSES.keys()
    for name, versions in requirements.items():
        assert rows[name].startswith(f"| {name} | {versions} | {review.locked(name)} | "), (
            f"run make docs: {name}"
        )


def test_the_package_uses_no_private_name_of_another_package() -> None:
    found = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "cls"):
                names = [node.attr]
            elif isinstance(node, ast.ImportFrom) and "stainproof" not in (node.module or ""):
                names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            else:
                continue
            private = {name for name in names if re.match("_[^_]", name)} - PUBLIC
            found += [f"{path.name}: {name}" for name in private]
    assert not found
