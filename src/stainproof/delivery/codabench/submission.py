"""A run or an ensemble as a contest submission: a zip that needs nothing of this package."""

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from stainproof import files
from stainproof.config import InputContract
from stainproof.data import phantom, stream
from stainproof.data.images import Images, to_square
from stainproof.delivery.codabench.archive import pack
from stainproof.delivery.codabench.grader import CONTEST_INPUT, FILES, IMAGES_FILE, Task, answer
from stainproof.delivery.codabench.sandbox import Bounds, Usage, packages_lacking
from stainproof.errors import CheckpointError, ConfigError, DataError, SubmissionError
from stainproof.labels import BLOOD_CLASSES, canonical
from stainproof.models import fourier, views, voting
from stainproof.models.engines import DEFAULT, open_engine
from stainproof.models.predictor import Classifier, Member
from stainproof.progress import Track
from stainproof.results import ONNX_FILE, Delivered
from stainproof.settings import check_known

Value = TypeVar("Value")

RUNTIMES = {
    "keras": {"keras": "keras==3.4.1", "tensorflow": "tensorflow-cpu==2.17.1"},
    "onnx": {"onnxruntime": "onnxruntime"},
}
"""What computes the networks -> what the grader's Python has for it, and how pip calls that."""
NUM_PROOFS = 200
"""Images that a submission is proven on."""
OURS = ("stainproof", "torch", "cv2")
"""What a submission must do without."""


def make_submission(
    classifier: Classifier, out: Path, runtime: str, images: Images, bounds: Bounds
) -> Delivered:
    """Write a classifier as a zip, once it is proven to answer as the classifier does.

    Args:
        classifier: One network or several, with views and filter; all goes into the zip.
        out: The zip to write.
        runtime: Name in `RUNTIMES`: what computes the networks.
        images: uint8 (n, 96, 96, 3) to prove it on.
        bounds: What the proof may take.

    Raises:
        ConfigError: The runtime is unknown, not installed, or has no such layers.
        CheckpointError: A run is incomplete, or its classes are not the contest's.
        SubmissionError: The zip does not answer, or not as it should; none is written.
    """
    check_known(runtime, RUNTIMES, "runtime")
    if out.suffix.lower() != ".zip":
        raise ConfigError(f"{out}: a submission is one file; name it something.zip")
    check_python(bounds.python, runtime)
    files.check_writable(out)
    labels = contest_labels(classifier.classes)
    squares = [to_square(rgb, classifier.input) for rgb in images]
    expected = labels[classifier.predict_proba(squares).argmax(axis=1)]
    with (
        tempfile.TemporaryDirectory(prefix="stainproof-") as folder,
        files.atomic_path(out) as part,
    ):
        lay_out(Path(folder), classifier, labels, runtime)
        pack(Path(folder), part)
        usage = prove(part, images, expected, bounds, str(out))
        num_bytes = part.stat().st_size
    return Delivered(
        runtime=runtime,
        num_bytes=num_bytes,
        num_images=len(images),
        seconds=usage.seconds,
        peak_mb=usage.peak_mb,
    )


def check_python(python: Path, runtime: str) -> None:
    """Find out, before the work, whether a Python can prove a submission.

    Raises:
        ConfigError: It cannot be started, or lacks a package that the grader has.
    """
    needed = RUNTIMES[runtime]
    if lacking := packages_lacking(python, needed):
        raise ConfigError(
            f"{python}: has no {' and no '.join(lacking)}, which the proof needs; pip install "
            f"{' '.join(needed.values())} in an environment of its own, and name its Python with "
            "--python"
        )


def contest_labels(classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the contest's label of every class of a run.

    Raises:
        CheckpointError: They are not the contest's eight, in whatever order and spelling.
    """
    names = [canonical(name) for name in classes]
    if sorted(names) != sorted(BLOOD_CLASSES):
        raise CheckpointError(
            f"the contest's classes are {', '.join(BLOOD_CLASSES)}; "
            f"the run knows {', '.join(classes)}"
        )
    return np.array([BLOOD_CLASSES.index(name) for name in names], dtype=np.int64)


def lay_out(folder: Path, classifier: Classifier, labels: NDArray[np.int64], runtime: str) -> None:
    """Write all files of a submission into an empty folder."""
    parts = folder / "parts"
    shutil.copytree(FILES / "submission", folder, dirs_exist_ok=True, ignore=_networks_and_caches)
    shutil.copyfile(FILES / "submission" / "parts" / f"network_{runtime}.py", parts / "network.py")
    for module in (fourier, views, voting):
        shutil.copy(str(module.__file__), parts)
    (folder / "weights").mkdir()
    members = []
    for number, member in enumerate(classifier.members):
        weights = f"weights/{number}.{runtime}"
        _write_weights(member, runtime, folder / weights)
        order = [member.card.classes.index(name) for name in classifier.classes]
        members.append({"weights": weights, **_shape(member.card.input), "order": order})
    how = {
        **_shape(classifier.input),
        **classifier.answering.model_dump(),
        "voting": classifier.voting,
        "labels": labels.tolist(),
        "members": members,
    }
    files.write_text(folder / "model.json", json.dumps(how, indent=2) + "\n")


def _networks_and_caches(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(("network_", "__pycache__"))]


def _shape(contract: InputContract) -> dict[str, Any]:
    return contract.model_dump(include={"size_px", "fit"})


def _write_weights(member: Member, runtime: str, path: Path) -> None:
    run, card = member.folder, member.card
    if runtime == "onnx":
        open_engine(DEFAULT, run, card)
        shutil.copyfile(run / ONNX_FILE, path)
    else:
        from stainproof.delivery.keras_network import save_keras
        from stainproof.models.weights import load_network

        save_keras(load_network(run, card), card.input, path)


def prove(
    submission: Path, images: Images, expected: NDArray[np.int64], bounds: Bounds, who: str
) -> Usage:
    """Ask a submission in an empty folder and a clean process, without what is ours.

    Args:
        submission: The zip.
        images: uint8 (n, 96, 96, 3).
        expected: int64 (n,), the labels that it must give.
        bounds: What it may take.
        who: Begins the message of an error.

    Raises:
        SubmissionError: It fails, or gives other labels.
    """
    with tempfile.TemporaryDirectory(prefix="stainproof-") as folder:
        np.save(Path(folder) / IMAGES_FILE, images, allow_pickle=False)
        task = Task(input_data=Path(folder), reference_data=Path(folder))
        hidden = replace(bounds, hidden=OURS)
        predictions, usage = answer(submission, task, hidden, f"{who}: not written: the proof")
    found = np.array(predictions.split(), dtype=np.int64)
    num_wrong = int((found != expected).sum())
    if num_wrong:
        raise SubmissionError(
            f"{who}: not written: {num_wrong} of {len(images)} labels differ from the run's own"
        )
    return usage


def proof_images(place: str | None, track: Track) -> Images:
    """Return images to prove a submission on, 200 or as many as there are.

    Args:
        place: Image files, a folder, a glob or an npz; nothing: synthetic cells of two labs.
        track: Shows progress.

    Returns:
        uint8 (n, 96, 96, 3).

    Raises:
        DataError: There are no images, or one cannot be read.
    """
    if place is None:
        num = NUM_PROOFS // len(phantom.LABS)
        return np.concatenate([phantom.generate(num, seed=0, lab=lab)[0] for lab in phantom.LABS])
    paths = _spread(stream.find([place]))
    found: list[Images] = []
    for item in track(stream.read(paths, CONTEST_INPUT), "reading images", len(paths)):
        if item.rgb is None:
            raise DataError(item.error)
        found.append(item.rgb)
    chosen = _spread(found)
    return np.stack(chosen)


def _spread(values: list[Value]) -> list[Value]:
    """Return 200 of the values or less, from all over."""
    chosen = np.linspace(0, len(values) - 1, min(NUM_PROOFS, len(values)))
    return [values[round(index)] for index in chosen]
