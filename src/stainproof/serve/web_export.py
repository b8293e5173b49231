"""Write the review page as static files: the network runs in the browser."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from stainproof import files
from stainproof.errors import ConfigError
from stainproof.evaluation.cell_names import is_white
from stainproof.evaluation.count import describe_assumption
from stainproof.evaluation.count_result import THRESHOLD, UNCLASSIFIED
from stainproof.evaluation.misclassification import RECALIBRATED, ErrorCounts, read_errors
from stainproof.inference.classifier import Classifier
from stainproof.progress import Say, silent_say
from stainproof.runs.shipped import find_run
from stainproof.serve.haematology import loinc_codes, ordered, title
from stainproof.serve.page_files import page_contents
from stainproof.serve.uncertainty import Uncertainty, uncertainty_of
from stainproof.shift.lab import Lab

STATIC = Path(__file__).parent / "static"
PACKAGE = "onnxruntime-web"
RUNTIME_FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
)
MAX_RUNTIME_BYTES = 64 * 2**20
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "worker-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
"""The page loads nothing from anywhere else and sends nothing to anywhere else."""


def export_web(
    model: str | Path,
    out: str | Path,
    runtime: str | Path,
    *,
    errors: str | Path | None = None,
    error: str | float | None = None,
    lab: Lab | str | Path | None = None,
    say: Say = silent_say,
) -> Path:
    """Write the review page with a model as static files.

    Any static web server can deliver the folder. Images are classified in the browser.

    Args:
        model: A run folder or the name of a shipped model; not an ensemble.
        out: Folder to make.
        runtime: Folder of the npm package `onnxruntime-web`, whose files are copied.
        errors: An evaluation of the model on labelled cells of this laboratory, from which the
            intervals of counts take its errors; by default the model's own.
        error: Largest error among the cells that the page does not call uncertain, as in `predict`;
            None: cells below 70 % are uncertain.
        lab: A laboratory profile or its file, by which the page standardises every image.
        say: Called with lines about what the profile changes and about errors that were measured
            before the model was calibrated.

    Returns:
        The page, `index.html` in the folder.

    Raises:
        CheckpointError: The model, the profile or the evaluation cannot be used.
        ConfigError: The model is an ensemble or standardises the white point of every image, the
            runtime is not that package, or `error` cannot be guaranteed.
        DataError: The folder exists and is not empty, or cannot be written to.
    """
    folder = find_run(model)
    classifier = Classifier.load(folder, "onnxruntime", lab=lab)
    if len(classifier.members) > 1:
        raise ConfigError(f"{folder}: an ensemble; the static page takes one network")
    (member,) = classifier.members
    if member.card.preprocessing.white_point:
        raise ConfigError(
            f"{folder}: standardises the white point of every image (preprocessing.white_point), "
            "which the static page cannot do; use stainproof serve"
        )
    if classifier.lab:
        say(f"the page standardises images by the laboratory profile: {classifier.lab.describe()}")
    known = read_errors(
        folder, errors, classifier.classes, classifier.weights_sha256, classifier.temperature
    )
    if known.is_recalibrated:
        say(RECALIBRATED)
    uncertainty = uncertainty_of(folder, classifier, error)
    contents = {
        **{f"page/{name}": content for name, content in _page().items()},
        **{f"runtime/{name}": content for name, content in _read_runtime(Path(runtime)).items()},
        "index.html": _index(),
        "model/model.onnx": member.run.read_named(member.run.onnx, member.card.onnx_sha256),
        "model/model.json": _describe(folder.resolve().name, classifier, known, uncertainty),
    }
    with files.new_folder(Path(out)) as part:
        for name, content in contents.items():
            files.write_bytes(part / name, content)
    return Path(out) / "index.html"


def _page() -> dict[str, bytes]:
    """Return the files of the page, with the modules that stand in for the server."""
    contents = page_contents()
    del contents["index.html"], contents["login.html"]
    return contents | {path.name: path.read_bytes() for path in STATIC.glob("*.js")}


def _index() -> bytes:
    charset = '<meta charset="utf-8">\n'
    policy = f'<meta http-equiv="Content-Security-Policy" content="{CONTENT_SECURITY_POLICY}">\n'
    return page_contents()["index.html"].decode().replace(charset, charset + policy, 1).encode()


def _read_runtime(package: Path) -> dict[str, bytes]:
    """Return the files of ONNX Runtime Web and a note of their version and hashes.

    Raises:
        ConfigError: The folder is not the package, or a file is missing.
    """
    hint = f"install it with: npm install {PACKAGE}; then --runtime node_modules/{PACKAGE}"
    try:
        about = json.loads(files.read_bytes(package / "package.json"))
        name, version = about["name"], about["version"]
        found = {
            one: files.read_bytes(package / "dist" / one, MAX_RUNTIME_BYTES)
            for one in RUNTIME_FILES
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{package}: not the npm package {PACKAGE}; {hint}") from error
    if name != PACKAGE:
        raise ConfigError(f"{package}: the npm package {name}, not {PACKAGE}; {hint}")
    hashes = {one: hashlib.sha256(content).hexdigest() for one, content in found.items()}
    note = {"name": PACKAGE, "version": version, "license": "MIT", "sha256": hashes}
    return found | {"runtime.json": _json(note)}


def _describe(
    name: str, classifier: Classifier, errors: ErrorCounts, uncertainty: Uncertainty
) -> bytes:
    (member,) = classifier.members
    card, classes = member.card, ordered(classifier.classes)
    codes = loinc_codes(classes)
    positions = [errors.classes.index(one) for one in classes]
    return _json(
        {
            "model": {
                "name": name,
                "classes": classifier.classes,
                "size_px": card.preprocessing.size_px,
                "num_parameters": card.num_parameters,
                "num_networks": 1,
                "weights_sha256": card.weights_sha256,
            },
            "onnx_sha256": card.onnx_sha256,
            "preprocessing": card.preprocessing.model_dump(mode="json"),
            "profile": _profile(classifier.lab),
            "temperature": member.temperature,
            "classes": [
                {
                    "name": one,
                    "title": title(one),
                    "loinc": codes.get(one),
                    "is_white": is_white(one),
                }
                for one in classes
            ],
            "threshold": THRESHOLD,
            "uncertain_below": uncertainty.below,
            "uncertain": uncertainty.rule,
            "unclassified": UNCLASSIFIED,
            "errors": {
                "confusion": errors.confusion[np.ix_(positions, positions)].tolist(),
                "mean_confidence": errors.mean_confidence,
                "source": errors.source,
                "assumption": describe_assumption(errors, False),
                "assumption_confirmed": describe_assumption(errors, True),
            },
        }
    )


def _profile(lab: Lab | None) -> dict[str, Any] | None:
    """Return what `static/standardise.js` takes; None if nothing is changed."""
    if not lab or not lab.changes:
        return None
    return {"scale": lab.scale, "gains": lab.gains.tolist()}


def _json(tree: dict[str, Any]) -> bytes:
    return f"{json.dumps(tree, indent=2)}\n".encode()
