"""The readers that are fuzzed: what each reads from one file, and how the file is changed."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.reliability import files, fuzz_mutators, hostile_files
from benchmarks.reliability import fuzz_seeds as seeds
from benchmarks.reliability.fuzz_mutators import (
    change_gzip,
    change_json,
    change_json_line,
    change_zip,
)
from benchmarks.reliability.judging import Reader
from stainproof.audit import cleaning
from stainproof.audit.summary import AuditSummary
from stainproof.calibration.record import Calibration
from stainproof.cells.boxes import read_boxes
from stainproof.config.presets import read_config
from stainproof.config.schema import SourceConfig
from stainproof.data.class_map import read_class_map
from stainproof.data.manifest import list_manifest
from stainproof.deployment.reference import read_reference
from stainproof.evaluation.result import Evaluation
from stainproof.runs.folder import RunFolder
from stainproof.serve.review import Review
from stainproof.serve.store import REVIEWERS, Store
from stainproof.shift.lab import read_lab


@dataclass(frozen=True)
class Target:
    """A reader and how it is fuzzed."""

    name: str
    file: str
    """The file, in a folder of its own."""
    seeds: Callable[[], Sequence[bytes]]
    """Makes sound files."""
    read: Reader
    mutate: fuzz_mutators.Mutator | None = None
    """Changes a file; by default only bytes are changed."""
    named: str | None = None
    """What messages must have in them; by default the name of the file."""


def read_session(path: Path) -> bool:
    """Open a session as the server does, and read and change all of it."""
    with closing(Store(path, seeds.MODEL)) as store:
        for reviewer in REVIEWERS:
            review = Review(store, seeds.MODEL.classes, reviewer)
            ids = [view.id for view in review.views()]
            probs, confirmed = review.evidence()
            review.agreement()
            review.decide(ids, None)
            store.undo(reviewer)
            if len(probs) != len(ids) or not all(0 <= index < len(ids) for index in confirmed):
                return False
        pictures = [store.picture(one) for one in ids]
        return store.num_cells() == len(ids) and all(isinstance(one, bytes) for one in pictures)


def read_card(path: Path) -> bool:
    """Read a card as that of a run folder, and show it."""
    card = RunFolder(path.parent).read_card()
    return bool(repr(card)) and bool(card._repr_html_()) and len(card.classes) > 0


def read_evaluation(path: Path) -> bool:
    """Read an evaluation, and show it."""
    found = Evaluation.read(path)
    return bool(repr(found)) and bool(found._repr_html_())


def read_calibration(path: Path) -> bool:
    """Read a calibration, and show it."""
    found = Calibration.parse(RunFolder(path.parent).read(path), path)
    return bool(repr(found))


def read_manifest_of_run(path: Path) -> bool:
    """Check the files of a run folder against its manifest."""
    run = RunFolder(path.parent)
    run.card.write_bytes(b"{}")  # the card of `seeds.manifest_seeds`
    run.check(run.card, run.best)
    run.settle()
    return run.read_manifest() is not None


def read_hashes(path: Path) -> bool:
    """Read the hashes of training images."""
    found = RunFolder(path.parent).read_training_hashes()
    return found is not None and found.dtype == np.uint64 and found.ndim == 1


def read_features(path: Path) -> bool:
    """Read the reference of a run."""
    found = read_reference(RunFolder(path.parent), seeds.WEIGHTS, 3)
    return found is not None and bool(np.isfinite(found.home.features).all())


def read_lab_profile(path: Path) -> bool:
    """Read a laboratory profile, and standardise an image by it."""
    lab = read_lab(path)
    if lab is None or not lab.describe():
        return False
    rgb = lab.standardise(np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3))
    return rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.size > 0


def read_all_boxes(path: Path) -> bool:
    """Read boxes, and use those of each field."""
    boxes = read_boxes(path)
    cells = [one for stem in boxes.by_stem for one in boxes.of(Path(f"{stem}.png"), (90, 120, 3))]
    return all(isinstance(cell.kind, str) for cell in cells)


def read_audit_folder(path: Path) -> bool:
    """Apply an audit to the source that it is of."""
    kept = cleaning.apply(seeds.AUDITED, path.parent)
    return 0 <= len(kept) <= len(seeds.AUDITED) and set(kept.names) <= set(seeds.NAMES)


def read_audit_summary(path: Path) -> bool:
    """Read the summary of an audit, and apply the audit."""
    path.with_name(cleaning.AUDIT_FILE).write_bytes(seeds.audit_tables()[0])
    found = AuditSummary.read(path)
    return bool(repr(found)) and bool(found._repr_html_()) and read_audit_folder(path)


def _of_manifest(path: Path) -> bool:
    return hostile_files.is_valid(list_manifest(path, SourceConfig()))


def _of_images(kind: str) -> Target:
    change = fuzz_mutators.change_png if kind == "PNG" else None
    file = f"cell.{kind.lower()}"
    return Target(f"{kind} images", file, seeds.image_seeds(kind), hostile_files.read_image, change)


def _of_history(path: Path) -> bool:
    return len(RunFolder(path.parent).read_history()) >= 0


def _of_settings(path: Path) -> bool:
    return read_config(path).seed >= 0


def _of_class_map(path: Path) -> bool:
    return isinstance(read_class_map(str(path)).targets(), dict)


_TARGETS = (
    *map(_of_images, ("JPEG", "PNG", "BMP", "TIFF", "WEBP")),
    Target("npz", "cells.npz", seeds.made(files.npz), hostile_files.read_npz, change_zip),
    Target("CSV manifest", "cells.csv", seeds.csv_seeds, _of_manifest),
    Target("Parquet manifest", "cells.parquet", seeds.made(files.parquet_table), _of_manifest),
    Target("settings", "config.toml", seeds.setting_seeds, _of_settings),
    Target("class map", "classes.toml", lambda: [seeds.CLASS_MAP], _of_class_map),
    Target("layout", "layout.txt", lambda: seeds.LAYOUTS, hostile_files.read_layout, named=""),
    Target("card", "run/card.json", seeds.shipped("card.json"), read_card, change_json),
    Target("history", "run/history.jsonl", lambda: [seeds.HISTORY], _of_history, change_json_line),
    Target("manifest of a run", "run/manifest.json", seeds.manifest_seeds, read_manifest_of_run,
           change_json),
    Target("calibration", "run/calibration.json", seeds.shipped("calibration.json"),
           read_calibration, change_json),
    Target("training hashes", "run/training_hashes.npy", seeds.hash_seeds, read_hashes),
    Target("reference", "run/reference.safetensors.gz", seeds.reference_seeds, read_features,
           change_gzip),
    Target("evaluation", "eval.json", seeds.shipped("evaluations/clean/eval.json"), read_evaluation,
           change_json),
    Target("laboratory profile", "lab.json", seeds.lab_seeds, read_lab_profile, change_json),
    Target("session of the review page", "review.session", seeds.session_seeds, read_session),
    Target("boxes, CSV", "boxes.csv", seeds.csv_boxes, read_all_boxes),
    Target("boxes, COCO", "boxes.json", seeds.coco_boxes, read_all_boxes, change_json),
    Target("boxes, YOLO", "boxes.txt", lambda: [seeds.YOLO_BOXES], read_all_boxes),
    Target("boxes, Pascal VOC", "boxes.xml", seeds.voc_boxes, read_all_boxes),
    Target("audit, table", "audit/audit.csv", seeds.audit_tables, read_audit_folder, named="audit"),
    Target("audit, summary", "audit/audit.json", seeds.audit_summaries, read_audit_summary,
           change_json, named="audit"),
)  # fmt: skip
TARGETS = {target.name: target for target in _TARGETS}
"""Name of a reader -> how it is fuzzed."""
