"""Predictions of a count on a Ray cluster: the parts are written first, then read in order."""

from collections.abc import Container, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet

from stainproof.config.schema import InferenceConfig
from stainproof.data import stream
from stainproof.data.listing import check_different
from stainproof.evaluation.counter import NUM_UNSURE, PredictedCells, UnsureCell, unsure_cell
from stainproof.inference.classifier import Classifier
from stainproof.progress import Say, Track, silent, silent_say
from stainproof.scale.prediction import MANIFEST_FILE, Manifest, predict_on_cluster


def predict_cells_on_cluster(
    run: str | Path,
    images: Sequence[str],
    parts: Path,
    address: str,
    classifier: Classifier,
    confirmed: Container[str] = (),
    *,
    engine: str = "auto",
    inference: InferenceConfig | None = None,
    bits: int = 0,
    track: Track = silent,
    say: Say = silent_say,
) -> PredictedCells:
    """Predict image files on a cluster; the result is that of `evaluation.counter.predict_cells`.

    Of the least sure cells, those in an npz file or an object storage have no picture and are left
    out.

    Args:
        run: The folder of a run or an ensemble, on storage that all machines share.
        images: As in `predict_on_cluster`.
        parts: Folder for the Parquet files of the predictions; a repeated call continues.
        address: As in `predict_on_cluster`.
        classifier: The classifier of the run, with the profile by which images are standardised.
        confirmed: Names of cells that a person has confirmed.
        engine: As in `predict_on_cluster`.
        inference: As in `predict_on_cluster`.
        bits: As in `predict_on_cluster`.
        track: Shows progress.
        say: Called with a note for each kind of file that is skipped.

    Raises:
        ConfigError, CheckpointError, DataError: As in `predict_on_cluster`.
        DataError: Two images have the same name.
    """
    predict_on_cluster(
        run, images, parts, address, engine=engine, inference=inference, bits=bits,
        lab=classifier.lab, track=track, say=say,
    )  # fmt: skip
    manifest = Manifest.read(parts / MANIFEST_FILE)
    tables = [pyarrow.parquet.read_table(parts / part.file) for part in manifest.parts]
    rows = pyarrow.concat_tables(tables)
    names, errors = rows["name"].to_pylist(), rows["error"].to_pylist()
    check_different("the images", names)
    is_read = np.array([error is None for error in errors], dtype=bool)
    probs = np.column_stack([rows[name].to_numpy() for name in classifier.classes])[is_read]
    read = tuple(name for name, error in zip(names, errors, strict=True) if error is None)
    unreadable = tuple(pair for pair in zip(names, errors, strict=True) if pair[1] is not None)
    order = np.argsort(probs.max(axis=1), kind="stable")
    open_cells = [index for index in order.tolist() if read[index] not in confirmed]
    unsure = map(
        partial(_with_picture, classifier, manifest.bits, read, probs), open_cells[:NUM_UNSURE]
    )
    return PredictedCells(read, probs, unreadable, tuple(one for one in unsure if one))


def _with_picture(
    classifier: Classifier, bits: int, names: Sequence[str], probs: np.ndarray, index: int
) -> UnsureCell | None:
    """Return a cell with its picture; None if it is not in an image file of its own."""
    if not Path(names[index]).is_file():
        return None
    item = next(
        stream.read([Path(names[index])], classifier.preprocessing, bits, classifier.standardise)
    )
    if item.rgb is None:
        return None
    return unsure_cell(names[index], item.rgb, probs[index], classifier.classes)
