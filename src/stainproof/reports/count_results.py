"""Make a differential count and write its results: the JSON file, the table and the page."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from stainproof import files
from stainproof.cells.boxes import read_boxes
from stainproof.cells.reading import Summary, check_field_options
from stainproof.config.schema import InferenceConfig
from stainproof.data import stream
from stainproof.data.stream import Item
from stainproof.evaluation.count_result import COUNT_FILE, MARGIN_POINTS, THRESHOLD, Count
from stainproof.inference.classifier import Classifier
from stainproof.inference.field_tables import read_cells
from stainproof.progress import Say, Track, silent, silent_say
from stainproof.shift.lab import Lab

PARTS = "parts"
"""Folder of the predictions of a cluster."""


def count(
    run: str | Path,
    images: Sequence[str],
    out: str | Path,
    *,
    confirmed: str | Path | None = None,
    errors: str | Path | None = None,
    threshold: float = THRESHOLD,
    margin_points: float = MARGIN_POINTS,
    seed: int = 0,
    engine: str = "auto",
    inference: InferenceConfig | None = None,
    lab: Lab | str | Path | None = None,
    bits: int = 0,
    fields: bool = False,
    boxes: str | Path | None = None,
    red_cell_px: float | None = None,
    ray: str = "",
    track: Track = silent,
    say: Say = silent_say,
) -> Count:
    """Make a differential count of images of single cells, or of fields; write JSON, table, page.

    Args:
        run: The folder of a run or an ensemble.
        images: Paths or globs of image files, folders and npz files.
        out: Folder for `count.json`, `cells.csv` and `count.html`.
        confirmed: A table of cells that a person has confirmed or corrected, such as `cells.csv`
            with a filled column `confirmed`; see `evaluation.counter.read_confirmed`.
        errors: An evaluation of the model on labelled cells of this laboratory, from which its
            errors are taken; by default that of the run's own test or validation images.
        threshold: Probability below which an unconfirmed cell is unclassified, 0 to 1.
        margin_points: Half width of an interval, in percentage points, that settles a class.
        seed: Seed of the draws behind the intervals, 0 or more.
        engine: The inference engine, as in `Classifier.load`.
        inference: Test-time augmentation and filter.
        lab: A laboratory profile or its file, by which images are standardised first.
        bits: Number of bits that the values of 16-bit files use; 0: that of the files, or found.
        fields: Whether the images are photographs of a smear, whose cells are found first; a cell
            has the name of its field and a number, as in `predict_fields`.
        boxes: With `fields`: boxes instead of detection, see `cells.boxes.read_boxes`.
        red_cell_px: With `fields`: diameter of a red cell in pixels; None: measured in each field.
        ray: Address of a Ray cluster on which the images are predicted, see `scale.cluster`; the
            predictions stay in the folder `parts` of `out`, and a repeated call continues.
        track: Shows progress.
        say: Called with a note for each kind of file that is skipped in a folder, and with what was
            found in fields.

    Returns:
        The count, see `evaluation.count.Count`.

    Raises:
        CheckpointError: The run folder, the evaluation or the profile cannot be used.
        ConfigError: A number is out of range, the engine is not installed, `bits` or `ray` is given
            with `fields`, `boxes` or `red_cell_px` without, or there is no such cluster.
        DataError: There is no image or no cell, or the boxes, the diameter or the table of
            confirmed cells cannot be used.
    """
    from stainproof.evaluation.count import check_settings, count_cells
    from stainproof.evaluation.counter import CELLS_FILE, predict_cells, read_confirmed, write_cells
    from stainproof.evaluation.counter_on_cluster import predict_cells_on_cluster
    from stainproof.evaluation.misclassification import read_errors
    from stainproof.reports.count_page import COUNT_PAGE_FILE, render_count

    check_settings(threshold, margin_points, seed)
    check_field_options(fields=fields, bits=bits, boxes=boxes, red_cell_px=red_cell_px, ray=ray)
    folder = Path(out)
    known = read_confirmed(confirmed) if confirmed else {}
    given = None if boxes is None else read_boxes(boxes)
    paths = [] if fields or ray else stream.find(images, say)
    classifier = Classifier.load(run, engine, inference, lab=lab, say=say)
    found = read_errors(
        run, errors, classifier.classes, classifier.weights_sha256, classifier.temperature
    )
    files.check_writable(folder / COUNT_FILE)
    summary = Summary()
    items: Iterable[Item] = ()
    if fields:
        items = read_cells(
            images, classifier, summary, boxes=given, red_cell_px=red_cell_px, track=track, say=say
        )
    elif not ray:
        decoded = stream.read(paths, classifier.preprocessing, bits, classifier.standardise)
        items = track(decoded, "counting", len(paths))
    if ray:
        cells = predict_cells_on_cluster(
            run, images, folder / PARTS, ray, classifier, known,
            engine=engine, inference=inference, bits=bits, track=track, say=say,
        )  # fmt: skip
    else:
        cells = predict_cells(classifier, items, known)
    for line in summary.lines() if fields else ():
        say(line)
    at = cells.positions(known)
    result = count_cells(
        cells.probs,
        classifier.classes,
        found,
        confirmed=at,
        threshold=threshold,
        margin_points=margin_points,
        num_unreadable=len(cells.unreadable),
        lab=classifier.lab,
        weights_sha256=classifier.weights_sha256,
        seed=seed,
    )
    write_cells(folder / CELLS_FILE, cells, classifier.classes, at, threshold)
    title = ", ".join(Path(one).name for one in images)
    files.write_text(folder / COUNT_PAGE_FILE, render_count(result, title, cells.unsure))
    result.write(folder / COUNT_FILE)
    return result
