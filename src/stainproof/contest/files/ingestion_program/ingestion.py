"""Run a submission on unlabelled images and write its predictions.

python3 ingestion.py INPUT_DATA OUTPUT SUBMISSION

Reads INPUT_DATA/images.npy, calls `Model().predict` of SUBMISSION/model.py, and writes
OUTPUT/predictions.txt: one label per line, in the order of the images.
"""

import importlib.util
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUM_CLASSES = 8
MAX_REASON = 300
"""Length of an exception's message in the error output."""


def main(input_data: Path, output: Path, submission: Path) -> None:
    """Write the predictions; exit with one line and code 1 if the submission fails."""
    images = np.load(input_data / "images.npy", allow_pickle=False)
    try:
        labels = np.asarray(load_model(submission)().predict(images))
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        reason = str(error)[:MAX_REASON]
        sys.exit(f"ingestion: {location(error, submission)}: {type(error).__name__}: {reason}")
    if error_message := check_labels(labels, len(images)):
        sys.exit(f"ingestion: predict must return {error_message}")
    lines = "".join(f"{label}\n" for label in labels.tolist())
    (output / "predictions.txt").write_text(lines, encoding="ascii")


def load_model(submission: Path) -> Any:
    """Return the class `Model` of a submission's model.py."""
    sys.path.insert(0, str(submission))
    spec = importlib.util.spec_from_file_location("model", submission / "model.py")
    if spec is None or spec.loader is None:
        raise ImportError("model.py cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules["model"] = module
    spec.loader.exec_module(module)
    return module.Model


def location(error: BaseException, submission: Path) -> str:
    """Return file and line of the innermost frame of an exception in the submission's code."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(submission)]
    if not own:
        return "model.py"
    return f"{Path(own[-1].filename).relative_to(submission)}, line {own[-1].lineno}"


def check_labels(labels: NDArray[Any], num_images: int) -> str:
    """Return what `predict` must return and what it returned; empty if the labels are valid."""
    if labels.shape != (num_images,) or not np.issubdtype(labels.dtype, np.integer):
        return f"integers of shape ({num_images},), got {labels.dtype} {labels.shape}"
    wrong = labels[(labels < 0) | (labels >= NUM_CLASSES)]
    return f"labels from 0 to {NUM_CLASSES - 1}, got {wrong[0]}" if len(wrong) else ""


if __name__ == "__main__":
    main(*(Path(name).resolve() for name in sys.argv[1:4]))
