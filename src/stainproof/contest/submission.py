"""A run or an ensemble as a contest submission: a zip that needs nothing of this package."""

import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from stainproof import files
from stainproof.calibration import scaling
from stainproof.config.parsing import check_known
from stainproof.config.schema import InferenceConfig
from stainproof.contest.archive import pack
from stainproof.contest.grader import CONTEST_INPUT, FILES, IMAGES_FILE, Task, run_submission
from stainproof.contest.results import SubmissionResult
from stainproof.contest.sandbox import Limits, Usage, check_sandbox, missing_packages
from stainproof.data import stream, white_balance
from stainproof.data.images import Images, resizing_weights, to_square
from stainproof.errors import CheckpointError, ConfigError, DataError, SubmissionError
from stainproof.inference import frequency_filters, tta, voting
from stainproof.inference.classifier import Classifier
from stainproof.inference.engines import DEFAULT, open_engine
from stainproof.inference.member import Member
from stainproof.labels import BLOOD_CLASSES, canonical
from stainproof.progress import Say, Track, silent, silent_say
from stainproof.shift.lab import Lab
from stainproof.shift.pixel_map import pixel_map
from stainproof.synthetic import phantoms

Value = TypeVar("Value")

RUNTIMES = {
    "keras": {"keras": "keras==3.4.1", "tensorflow": "tensorflow-cpu==2.17.1"},
    "onnx": {"onnxruntime": "onnxruntime"},
}
"""Runtime of the networks -> the packages that it needs, with their pip requirements."""
MAX_VERIFICATION_IMAGES = 200
HIDDEN_PACKAGES = ("stainproof", "torch", "cv2")
"""A submission must not need them."""


def submit(
    run: str | Path,
    out: str | Path,
    *,
    runtime: str = "keras",
    inference: InferenceConfig | None = None,
    images: str | None = None,
    lab: Lab | str | Path | None = None,
    python: str | Path = sys.executable,
    unfenced: bool = False,
    track: Track = silent,
    say: Say = silent_say,
) -> SubmissionResult:
    """Write a run as a contest submission, after testing that it predicts what the run predicts.

    Args:
        run: The folder of a run or an ensemble.
        out: The zip to write.
        runtime: Name in `RUNTIMES`, what computes the networks: `keras`, as the contest's grader
            has it, or `onnx`.
        inference: Test-time augmentation and filter; both become part of the submission.
        images: Images to test it on, at most 200; by default synthetic cells.
        lab: A laboratory profile or its file, which becomes part of the submission; by default that
            of an ensemble, if it contains one.
        python: The Python interpreter of the test; needs numpy and Keras or ONNX Runtime.
        unfenced: Whether to test it without the sandbox, which needs bubblewrap.
        track: Shows progress.
        say: Called with a line about the profile.

    Raises:
        CheckpointError: The run folder or the profile cannot be used, or the run's classes are not
            the contest's.
        ConfigError: The runtime is unknown, not installed, or has no such layers; or there is no
            sandbox.
        DataError: The images cannot be read, or `out` cannot be written.
        SubmissionError: The submission fails, or its predictions differ from the run's; it is not
            written.
    """
    place, limits = Path(out), Limits(python=Path(python), fenced=not unfenced)
    check_known(runtime, RUNTIMES, "runtime")
    if place.suffix.lower() != ".zip":
        raise ConfigError(f"{out}: a submission is one file; name it something.zip")
    check_runtime(limits.python, runtime)
    check_sandbox(limits)
    classifier = Classifier.load(run, inference=inference, lab=lab, say=say)
    if lab and classifier.lab:
        say(f"the submission standardises images: {classifier.lab.describe()}")
    cells = verification_images(images, track)
    files.check_writable(place)
    labels = contest_labels(classifier.classes)
    squares = [to_square(classifier.standardise(rgb), classifier.preprocessing) for rgb in cells]
    expected = labels[classifier.predict_standardised(squares).argmax(axis=1)]
    with (
        tempfile.TemporaryDirectory(prefix="stainproof-") as folder,
        files.atomic_path(place) as part,
    ):
        write_files(Path(folder), classifier, labels, runtime)
        pack(Path(folder), part)
        usage = verify(part, cells, expected, limits, str(out))
        num_bytes = part.stat().st_size
    return SubmissionResult(
        runtime=runtime,
        num_bytes=num_bytes,
        num_images=len(cells),
        seconds=usage.seconds,
        peak_mb=usage.peak_mb,
    )


def check_runtime(python: Path, runtime: str) -> None:
    """Raise if a submission cannot be written here, or not be verified by a Python interpreter.

    Raises:
        ConfigError: The interpreter cannot be started, or a package is missing in it or here; the
            message names the runtimes that are possible.
    """
    faults = []
    if runtime == "keras" and find_spec("keras") is None:
        faults.append("Keras is not installed here: pip install 'stainproof[keras]'")
    if missing := missing_packages(python, RUNTIMES[runtime]):
        faults.append(
            f"{python} has no {' and no '.join(missing)}, which the test of the submission needs: "
            f"pip install {' '.join(RUNTIMES[runtime].values())} in an environment of its own, and "
            "name its Python with --python"
        )
    if faults:
        others = [
            f"; --runtime {other} is"
            for other, packages in RUNTIMES.items()
            if other not in (runtime, "keras") and not missing_packages(python, packages)
        ]
        raise ConfigError(
            f"--runtime {runtime} is not possible here{''.join(others)}. {'; '.join(faults)}"
        )


def contest_labels(classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the contest's label of each class of a run.

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


def write_files(
    folder: Path, classifier: Classifier, labels: NDArray[np.int64], runtime: str
) -> None:
    """Write the files of a submission into an empty folder."""
    parts = folder / "parts"
    shutil.copytree(FILES / "submission", folder, dirs_exist_ok=True, ignore=_networks_and_caches)
    shutil.copyfile(FILES / "submission" / "parts" / f"network_{runtime}.py", parts / "network.py")
    for module in (frequency_filters, scaling, tta, voting, white_balance):
        shutil.copy(str(module.__file__), parts)
    (folder / "weights").mkdir()
    members, sizes = [], []
    for number, member in enumerate(classifier.members):
        weights = f"weights/{number}.{runtime}"
        _write_weights(member, runtime, folder / weights)
        sizes.append(member.card.preprocessing.size_px)
        order = [member.card.classes.index(name) for name in classifier.classes]
        members.append(
            {
                "weights": weights,
                "size_px": sizes[-1],
                "order": order,
                "temperature": member.temperature,
            }
        )
    _write_resizing(folder / "weights", sizes, _write_lab(folder / "weights", classifier.lab))
    config = {
        "size_px": classifier.preprocessing.size_px,
        "white_point": classifier.preprocessing.white_point,
        **classifier.inference.model_dump(),
        "voting": classifier.voting,
        "labels": labels.tolist(),
        "members": members,
    }
    files.write_text(folder / "model.json", json.dumps(config, indent=2) + "\n")


def _networks_and_caches(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(("network_", "__pycache__"))]


def _write_lab(folder: Path, lab: Lab | None) -> int:
    """Write the arrays of `parts/standardise.py`; return the side of its images in pixels."""
    if not lab:
        return CONTEST_INPUT.size_px
    change = pixel_map(lab, CONTEST_INPUT.size_px)
    np.save(folder / "lab_positions.npy", change.positions, allow_pickle=False)
    np.save(folder / "lab_levels.npy", change.levels, allow_pickle=False)
    return len(change.positions)


def _write_resizing(folder: Path, sizes: Sequence[int], first_px: int) -> None:
    """Write the interpolation weights of `parts/resize.py` for each network's input size.

    Args:
        folder: Where they are written.
        sizes: Input sizes of the networks.
        first_px: Side of the images that are resized to the largest of them.
    """
    largest = max(sizes)
    pairs = {(first_px, largest), *((largest, size) for size in sizes)}
    for old_px, new_px in pairs:
        if old_px != new_px:
            path = folder / f"resize_{old_px}_{new_px}.npy"
            np.save(path, resizing_weights(old_px, new_px), allow_pickle=False)


def _write_weights(member: Member, runtime: str, path: Path) -> None:
    run, card = member.run, member.card
    if runtime == "onnx":
        open_engine(DEFAULT, run, card)
        shutil.copyfile(run.onnx, path)
    else:
        from stainproof.contest.keras_network import save_keras
        from stainproof.models.weights import load_network

        save_keras(load_network(run, card), card.preprocessing, path)


def verify(
    submission: Path, images: Images, expected: NDArray[np.int64], limits: Limits, name: str
) -> Usage:
    """Check that a submission predicts the expected labels in an empty folder.

    Args:
        submission: The zip.
        images: uint8 (n, 96, 96, 3).
        expected: int64 (n,), the labels that it must predict.
        limits: What it may use.
        name: Begins the message of an error.

    Raises:
        SubmissionError: It fails, or predicts other labels.
    """
    with tempfile.TemporaryDirectory(prefix="stainproof-") as folder:
        np.save(Path(folder) / IMAGES_FILE, images, allow_pickle=False)
        task = Task(input_data=Path(folder), reference_data=Path(folder))
        hidden = replace(limits, hidden=HIDDEN_PACKAGES)
        predictions, usage = run_submission(
            submission, task, hidden, f"{name}: not written: the test failed"
        )
    found = np.array(predictions.split(), dtype=np.int64)
    num_wrong = int((found != expected).sum())
    if num_wrong:
        raise SubmissionError(
            f"{name}: not written: {num_wrong} of {len(images)} labels differ from the run's own"
        )
    return usage


def verification_images(place: str | None, track: Track) -> Images:
    """Return at most 200 images to verify a submission on.

    Args:
        place: Image files, a folder, a glob or an npz; None: synthetic cells of two labs.
        track: Shows progress.

    Returns:
        uint8 (n, 96, 96, 3).

    Raises:
        DataError: There are no images, or one cannot be read.
    """
    if place is None:
        num = MAX_VERIFICATION_IMAGES // len(phantoms.LABS)
        return np.concatenate([phantoms.generate(num, seed=0, lab=lab)[0] for lab in phantoms.LABS])
    paths = _spread(stream.find([place]))
    found: list[Images] = []
    for item in track(stream.read(paths, CONTEST_INPUT), "reading images", len(paths)):
        if item.rgb is None:
            raise DataError(item.error)
        found.append(item.rgb)
    chosen = _spread(found)
    return np.stack(chosen)


def _spread(values: list[Value]) -> list[Value]:
    """Return at most 200 of the values, evenly spaced."""
    chosen = np.linspace(0, len(values) - 1, min(MAX_VERIFICATION_IMAGES, len(values)))
    return [values[round(index)] for index in chosen]
