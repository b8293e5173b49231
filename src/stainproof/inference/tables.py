"""Tables of predictions: CSV, Parquet or JSON lines, in memory that does not grow with the rows."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.csv
import pyarrow.parquet

from stainproof import files
from stainproof.calibration.abstention import UNCERTAIN
from stainproof.config.parsing import parse_share
from stainproof.config.schema import InferenceConfig
from stainproof.data import stream
from stainproof.data.bit_depth import BITS_FOUND
from stainproof.data.stream import Item
from stainproof.errors import ConfigError, DataError
from stainproof.inference.abstaining import threshold_of
from stainproof.inference.classifier import Classifier
from stainproof.progress import Say, Track, silent, silent_say
from stainproof.shift.lab import Lab
from stainproof.text import quote_formula

SUFFIXES = (".csv", ".parquet", ".jsonl")
CHUNK_SIZE = 256


def predict(
    run: str | Path,
    images: Sequence[str],
    out: str | Path,
    *,
    engine: str = "auto",
    inference: InferenceConfig | None = None,
    bits: int = 0,
    lab: Lab | str | Path | None = None,
    error: str | float | None = None,
    track: Track = silent,
    say: Say = silent_say,
) -> tuple[int, int]:
    """Predict image files, folders, globs or npz files; write a CSV, Parquet or JSON-lines table.

    Images are read, predicted and written in a stream, so memory does not grow with their number.

    Args:
        run: The folder of a run or an ensemble.
        images: Paths or globs.
        out: The table to write; its suffix chooses the format.
        engine: The inference engine, as in `Classifier.load`.
        inference: Test-time augmentation and filter.
        bits: Number of bits that the values of 16-bit files use; 0: that of the files, or found
            from the largest value.
        lab: A laboratory profile or its file, by which images are standardised first.
        error: Largest error among the accepted images, such as `"2%"` or 0.02: images of less
            confidence than guarantees it on the images that the run was calibrated on get the label
            `uncertain`; see `calibration.abstention`.
        track: Shows progress.
        say: Called with a note for each kind of file that is skipped in a folder, and with what
            `error` guarantees and leaves to a person.

    Returns:
        The number of rows, and how many of them are images that could not be read.

    Raises:
        CheckpointError: The run folder or the profile cannot be used.
        ConfigError: The engine is unknown or not installed, `bits` is not allowed, or `error`
            cannot be guaranteed.
        DataError: A path matches no image, or the suffix of the table is unknown.
    """
    path = Path(out)
    check_suffix(path)
    check_bits(bits)
    paths = stream.find(images, say)
    classifier = Classifier.load(run, engine, inference, lab=lab, say=say)
    decoded = stream.read(paths, classifier.preprocessing, bits, classifier.standardise)
    items = track(decoded, "predicting", len(paths))
    return write_with_abstention(run, classifier, items, path, error=error, say=say)


def write_with_abstention(
    run: str | Path,
    classifier: Classifier,
    items: Iterable[Item],
    path: Path,
    *,
    error: str | float | None,
    further: Sequence[pyarrow.Field] = (),
    say: Say,
) -> tuple[int, int]:
    """Write a table of predictions in which too uncertain images have the label `uncertain`.

    Args:
        run: The folder that the classifier was loaded from.
        classifier: The classifier.
        items: Standardised images or errors, in order.
        path: File to write, atomically.
        error: As in `predict`; None: every image is accepted.
        further: Columns after `name` that take `Item.values`.
        say: Called with what `error` guarantees and leaves to a person.

    Returns:
        The number of rows, and how many of them are errors.

    Raises:
        ConfigError: `error` cannot be guaranteed.
        DataError: The suffix is unknown.
    """
    if error is None:
        num_rows, num_errors, _ = write_predictions(classifier, items, path, further=further)
        return num_rows, num_errors
    threshold, source = threshold_of(run, classifier, parse_share(error, "error"))
    say(f"{threshold.describe()}; fitted on {source}")
    num_rows, num_errors, num_uncertain = write_predictions(
        classifier, items, path, threshold.confidence, further
    )
    num_images = num_rows - num_errors
    say(f"{num_uncertain:,} of {num_images:,} images are uncertain; a person must look at them")
    return num_rows, num_errors


def check_bits(bits: int) -> None:
    """Check a number of bits of 16-bit files.

    Raises:
        ConfigError: It is not 0 and not one that is found in files.
    """
    if bits and bits not in BITS_FOUND:
        allowed = ", ".join(map(str, BITS_FOUND))
        raise ConfigError(f"bits must be 0 or one of {allowed}, got {bits}")


def check_suffix(path: Path) -> None:
    """Refuse a table with an unknown suffix.

    Raises:
        DataError: The suffix is none of .csv, .parquet, .jsonl.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: unknown kind of table; allowed: {', '.join(SUFFIXES)}")


def write_predictions(
    classifier: Classifier,
    items: Iterable[Item],
    path: Path,
    min_confidence: float = 0.0,
    further: Sequence[pyarrow.Field] = (),
    metadata: dict[str, str] | None = None,
) -> tuple[int, int, int]:
    """Predict a stream of images and write a table.

    The columns are `name`, `label`, one probability for each class, and `error`. The row of an
    image that could not be read has only `name` and the reason as `error`. In CSV tables, texts
    that a spreadsheet would take for formulas begin with an apostrophe, see `text.quote_formula`.

    Args:
        classifier: The classifier.
        items: Standardised images or errors, in order.
        path: File to write, atomically; its suffix chooses the format.
        min_confidence: Images of less confidence have the label `uncertain`.
        further: Columns after `name` that take `Item.values`.
        metadata: Texts for the footer of a Parquet file.

    Returns:
        The number of rows, how many of them are errors, and how many are uncertain.

    Raises:
        DataError: The suffix is unknown.
    """
    check_suffix(path)
    columns = pyarrow.schema(
        [
            ("name", pyarrow.string()),
            *further,
            ("label", pyarrow.string()),
            *((name, pyarrow.float32()) for name in classifier.classes),
            ("error", pyarrow.string()),
        ],
        metadata,
    )
    num_rows = num_errors = num_uncertain = 0
    stream = iter(items)
    files.check_writable(path)
    with files.atomic_path(path) as part, _open_writer(part, path.suffix.lower(), columns) as write:
        while chunk := tuple(islice(stream, CHUNK_SIZE)):
            table = _predict_chunk(classifier, chunk, columns, min_confidence)
            write(table)
            num_uncertain += table["label"].to_pylist().count(UNCERTAIN) if min_confidence else 0
            num_rows += len(chunk)
            num_errors += sum(item.rgb is None for item in chunk)
    return num_rows, num_errors, num_uncertain


@contextmanager
def _open_writer(
    path: Path, suffix: str, columns: pyarrow.Schema
) -> Iterator[Callable[[pyarrow.Table], None]]:
    """Provide a function that appends a table to a file of this kind."""
    if suffix == ".jsonl":
        with path.open("w", encoding="utf-8") as stream:
            yield lambda table: stream.writelines(
                json.dumps(row) + "\n" for row in table.to_pylist()
            )
        return
    if suffix == ".csv":
        names = [quote_formula(name) for name in columns.names]
        quoted = pyarrow.schema(zip(names, columns.types, strict=True))
        with pyarrow.csv.CSVWriter(path, quoted) as writer:
            yield lambda table: writer.write_table(_quote_formulas(table).rename_columns(names))
        return
    with pyarrow.parquet.ParquetWriter(path, columns) as writer:
        yield writer.write_table


def _quote_formulas(table: pyarrow.Table) -> pyarrow.Table:
    """Return a table whose texts no spreadsheet takes for formulas."""
    for name in table.column_names:
        if table.schema.field(name).type != pyarrow.string():
            continue
        texts = [text and quote_formula(text) for text in table[name].to_pylist()]
        place = table.column_names.index(name)
        table = table.set_column(place, name, pyarrow.array(texts, pyarrow.string()))
    return table


def _predict_chunk(
    classifier: Classifier,
    chunk: tuple[Item, ...],
    columns: pyarrow.Schema,
    min_confidence: float,
) -> pyarrow.Table:
    images = [item.rgb for item in chunk if item.rgb is not None]
    probs: Iterator[np.ndarray] = iter(classifier.predict_standardised(images) if images else ())
    rows = []
    for item in chunk:
        if item.rgb is None:
            rows.append({"name": item.name, **item.values, "error": item.error})
            continue
        values = next(probs)
        is_certain = values.max() >= min_confidence
        label = classifier.classes[int(values.argmax())] if is_certain else UNCERTAIN
        by_class = dict(zip(classifier.classes, values.tolist(), strict=True))
        rows.append({"name": item.name, **item.values, "label": label, **by_class})
    return pyarrow.Table.from_pylist(rows, schema=columns)
