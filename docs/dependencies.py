"""Writes the table of docs/dependencies.md from the installed packages and the reasons below.

python docs/dependencies.py
"""

import re
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "dependencies.md"
LOCKS = ("dev", "bench", "ray")
TITLES = """\
| package | allowed | locked | purpose | licence | maintained by | would be replaced by | MB |
|---|---|---|---|---|---|---|---|"""
PURPOSES: dict[str, tuple[str, str, str]] = {
    "cleanlab": ("doubtful labels (confident learning)", "Cleanlab Inc.", "60 lines of NumPy"),
    "filelock": ("one process at a time in a run folder", "tox-dev", "`fcntl` and `msvcrt`"),
    "greenlet": ("faster proposals of Optuna's GPSampler", "greenlet", "slower proposals"),
    "jinja2": ("HTML pages", "Pallets", "`string.Template`, without inheritance and escaping"),
    "matplotlib": ("figures of the pages", "NumFOCUS project", "SVG by hand; seaborn needs it"),
    "numpy": ("arrays", "NumFOCUS project", "nothing"),
    "onnx": ("the file format of exported networks", "LF AI & Data", "TorchScript, less portable"),
    "onnxruntime": ("inference, int8 quantisation", "Microsoft", "OpenVINO, PyTorch (slower)"),
    "onnxscript": ("used by PyTorch's ONNX export", "Microsoft", "nothing: the export needs it"),
    "opencv-python-headless": (
        "resizing, filters, geometry", "OpenCV", "scikit-image and Pillow (slower)"
    ),
    "optuna": ("search for settings", "Preferred Networks", "Ax, scikit-optimize"),
    "pillow": ("decoding of images", "Jeffrey A. Clark and others", "imageio, OpenCV's decoders"),
    "pooch": ("downloads with checksums", "Fatiando a Terra", "`urllib` and `hashlib`"),
    "pyarrow": ("Parquet and CSV tables", "Apache Arrow", "polars, pandas"),
    "pydantic": ("validation of settings", "Pydantic", "attrs and cattrs, more code"),
    "pytorch-optimizer": ("optimizers Lion and Muon", "one person", "100 lines of PyTorch"),
    "pyyaml": ("metadata of contest programs", "YAML organisation", "ruamel.yaml"),
    "rich": ("progress bars, width of text", "Textualize", "tqdm and wcwidth"),
    "safetensors": ("weights without pickles", "Hugging Face, PyTorch Foundation", ".npz files"),
    "scikit-learn": ("linear models, cross-validation", "scikit-learn", "SciPy and more code"),
    "scipy": ("intervals, k-d trees, FFT", "NumFOCUS project", "nothing of that breadth"),
    "sqlalchemy": ("errors of the search's database", "SQLAlchemy", "nothing: Optuna needs it"),
    "tomli-w": ("writing TOML", "one person", "20 lines for the settings written here"),
    "torch": ("training", "PyTorch Foundation", "JAX ([decision 1](decisions/0001-pytorch.md))"),
    "typer": ("the command line", "one person and FastAPI", "click, argparse"),
    "keras": ("extra `keras`: submissions to the contest", "Google", "nothing: the grader's"),
    "openvino": ("extra `openvino`: inference engine", "Intel", "ONNX Runtime"),
    "psycopg": ("extra `postgresql`: search on several machines", "one person", "pg8000"),
    "fastapi": ("extra `serve`: the server", "one person", "Starlette with more code, Litestar"),
    "prometheus-client": ("extra `serve`: metrics", "Prometheus (CNCF)", "100 lines of text"),
    "python-multipart": ("extra `serve`: uploads", "one person", "nothing: FastAPI needs it"),
    "uvicorn": ("extra `serve`: HTTP", "Encode, Kludex", "hypercorn, granian"),
    "ray": ("extra `ray`: work on a cluster", "Ray, PyTorch Foundation", "Dask and torchrun"),
    "timm": ("extra `transfer`: pretrained networks", "Hugging Face", "torchvision's models"),
    "editables": ("builds the package", "PyPA member", "comes with hatchling"),
    "hatchling": ("builds the package", "PyPA", "setuptools, flit"),
    "httpx": ("tests of the server", "Encode", "the server in a process and `urllib`"),
    "hypothesis": ("property tests", "HypothesisWorks", "hand-written cases"),
    "import-linter": ("checks the layers of the package", "one person", "a test"),
    "mkdocstrings": ("pages of the Python API", "one person", "Sphinx autodoc"),
    "mutmut": ("mutation tests", "one person", "cosmic-ray"),
    "mypy": ("types", "Python organisation", "pyright"),
    "pre-commit": ("checks before a commit", "one person", "a git hook"),
    "pytest": ("tests", "pytest-dev", "unittest"),
    "pytest-cov": ("coverage", "pytest-dev", "coverage"),
    "pytest-timeout": ("ends tests that hang", "pytest-dev", "faulthandler"),
    "pytest-xdist": ("tests on all cores", "pytest-dev", "several calls of pytest"),
    "ruff": ("lint and format", "Astral", "flake8 and black"),
    "selenium": ("tests of pages in a browser", "Selenium project", "Playwright"),
    "zensical": ("the documentation site", "Zensical", "MkDocs"),
}  # fmt: skip
"""Purpose, maintainer and replacement of every direct dependency."""
SPDX = {
    "Apache License": "Apache-2.0", "Apache 2.0": "Apache-2.0", "BSD License": "BSD",
    "DFSG approved, MIT License": "MIT", "Python Software Foundation License": "PSF-2.0",
}  # fmt: skip


def requirements() -> dict[str, str]:
    """Return the allowed versions of every direct dependency of pyproject.toml, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = {}
    for line in chain(project["dependencies"], *project["optional-dependencies"].values()):
        match = re.fullmatch(r"([\w-]+)(?:\[.*?\])?(.*)", line)
        assert match, line
        if match[1] != "stainproof":
            found[match[1].lower()] = match[2]
    return found


def locked(name: str) -> str:
    """Return the version in the locks for Python 3.11; for torch, which has none, "not locked"."""
    for lock in LOCKS:
        text = (ROOT / "requirements" / f"{lock}.lock").read_text(encoding="utf-8")
        if match := re.search(rf"^{re.escape(name)}==([^ ;]+)", text, re.MULTILINE):
            return match[1]
    return "not locked"


def licence(package: Distribution) -> str:
    """Return the licence that the package's metadata states."""
    told = package.metadata
    text = told["License-Expression"] or ""
    if not text:
        classifiers = told.get_all("Classifier") or []
        names = [line.split(" :: ")[-1] for line in classifiers if line.startswith("License ::")]
        text = ", ".join(name for name in names if name != "OSI Approved")
    if not text:
        text = (told["License"] or "not stated").splitlines()[0]
    return SPDX.get(text, text)


def size_mb(package: Distribution) -> float:
    """Return the size of the installed files in MB."""
    return sum(file.size or 0 for file in package.files or ()) / 1e6


def row(name: str, versions: str) -> str:
    """Return one row of the table; the package must be installed."""
    purpose, maintainer, replacement = PURPOSES[name]
    package = distribution(name)
    size = size_mb(package)
    return (
        f"| {name} | {versions} | {locked(name)} | {purpose} | {licence(package)} | {maintainer} "
        f"| {replacement} | {f'{size:.0f}' if size >= 1 else '< 1'} |"
    )


def rows_of(page: str) -> dict[str, str]:
    """Return the rows of the page's table by package."""
    lines = page.partition("\n|---|")[2].splitlines()[1:]
    return {line.split(" | ")[0][2:]: line for line in lines if line.startswith("| ")}


def filled(page: str) -> str:
    """Return the page with a new table; packages that are not installed keep their row.

    Raises:
        KeyError: A dependency is missing in `PURPOSES`, or neither installed nor on the page.
    """
    old, rows = rows_of(page), []
    for name, versions in requirements().items():
        try:
            rows.append(row(name, versions))
        except PackageNotFoundError:
            rows.append(old[name])
    head, rest = page.split("<!-- table -->\n")
    tail = rest.split("<!-- end -->")[1]
    return "\n".join((f"{head}<!-- table -->", TITLES, *rows, f"<!-- end -->{tail}"))


def main() -> None:
    """Fill the page in place."""
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
