"""Small sound files of every kind that stainproof reads, which a fuzzer changes."""

import io
import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from benchmarks.reliability import files
from stainproof.audit import findings
from stainproof.audit.summary import AuditSummary
from stainproof.config.presets import make_config
from stainproof.config.schema import AuditConfig
from stainproof.data.listing import Listing
from stainproof.deployment.embedding import Embedding
from stainproof.deployment.properties import PROPERTIES
from stainproof.deployment.reference import Reference
from stainproof.provenance import collect
from stainproof.runs.folder import RunFolder
from stainproof.runs.hashes import hashes_as_npy
from stainproof.runs.manifest import MANIFEST_FILE, Manifest
from stainproof.runs.shipped import find_run
from stainproof.serve.records import ModelFacts, NewCell
from stainproof.serve.store import Store
from stainproof.shift.lab import Lab

NUM_SEEDS = 12
MAX_SEED_BYTES = 20_000
SHIPPED = Path(find_run("stainproof-light"))
WEIGHTS = "0" * 64
MODEL = ModelFacts(WEIGHTS, files.CLASSES)
NAMES = tuple(f"a/{number}.png" for number in range(8))
AUDITED = Listing("cells", NAMES, np.arange(8) % 3, files.CLASSES)
EPOCH = {
    "epoch": 1, "loss": 0.5, "accuracy": 0.5, "val_loss": 0.4, "val_accuracy": 0.6,
    "val_augmented_accuracy": None, "learning_rate": 0.1, "images_per_s": 9.5, "elapsed_s": 1.5,
}  # fmt: skip
MANIFEST = b"path,label,patient,split\na.png,ig,1,train\nb.png,rbc,2,val\nc.png,ig,1,train\n"
HISTORY = b"".join(json.dumps(EPOCH | {"epoch": number}).encode() + b"\n" for number in (1, 2))
YOLO_BOXES = b"0 0.5 0.5 0.2 0.3\n1 0.1 0.1 0.1 0.1 0.9\n"
CLASS_MAP = (
    b'ignore = ["artefact"]\nmin_images = 2\n[classes]\nneutrophil = ["segmented", "band"]\n'
)
LAYOUTS = (
    b"{label}/**",
    b"{group}/**/{label}/*",
    b"{split}/{label}/{group}_*",
    b"a?/{label}/*.png",
)


def made(maker: Callable[[np.random.Generator], bytes]) -> Callable[[], Sequence[bytes]]:
    """Return what makes several small files with a maker of `files`."""

    def seeds() -> list[bytes]:
        contents = (maker(np.random.default_rng([0, number])) for number in range(10 * NUM_SEEDS))
        return [one for one in contents if len(one) <= MAX_SEED_BYTES][:NUM_SEEDS]

    return seeds


def image_seeds(kind: str) -> Callable[[], Sequence[bytes]]:
    """Return what makes small images of a format, plain and unusual ones."""

    def seeds() -> list[bytes]:
        picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8))
        grey = picture.convert("L")
        exif = picture.getexif()
        exif[0x0112] = 6
        unusual: list[dict[str, Any]] = []
        pictures = [picture]
        if kind == "JPEG":
            unusual = [{"exif": exif}, {"progressive": True}, {"icc_profile": bytes(200)}]
            pictures += [grey, picture.convert("CMYK")]
        elif kind == "TIFF":
            deep = Image.fromarray(np.arange(63, dtype=np.uint16).reshape(9, 7))
            pictures += [grey, deep, picture.convert("RGBA"), picture.convert("P")]
            unusual = [{"compression": name} for name in ("jpeg", "packbits", "tiff_deflate")]
            unusual.append({"description": "ImageJ=1.53\nchannels=3\n"})
        elif kind == "PNG":
            pictures += [picture.convert(mode) for mode in ("P", "LA", "RGBA", "1")]
            unusual = [{"exif": exif}, {"bits": 2}]
        elif kind == "WEBP":
            pictures += [picture.convert("RGBA")]
            unusual = [{"lossless": True}, {"exif": exif}]
        contents = [_saved(one, kind) for one in pictures]
        contents += [_saved(picture, kind, **options) for options in unusual]
        if kind == "TIFF":
            tags = TiffImagePlugin.ImageFileDirectory_v2()
            tags[270] = '<OME><Pixels SizeC="3" SignificantBits="12"/></OME>'
            contents.append(
                _saved(
                    pictures[2], kind, save_all=True, append_images=[pictures[2]] * 2, tiffinfo=tags
                )
            )
        return contents + list(made(lambda rng: files.image(rng, kind))())[:4]

    return seeds


def _saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def session_seeds() -> list[bytes]:
    """Return an empty session, and one with cells and decisions."""
    picture = _saved(Image.fromarray(np.zeros((4, 4, 3), np.uint8)), "PNG")
    contents = []
    with tempfile.TemporaryDirectory() as folder:
        for num in (0, 3):
            path = Path(folder) / f"{num}.session"
            with closing(Store(path, MODEL)) as store:
                probs = np.array([0.1, 0.7, 0.2], np.float32)
                store.add([NewCell(f"{i}.png", "", f"{i}", picture, probs) for i in range(num)])
                if num:
                    store.set_blind(True)
                    store.decide(1, {1: ("monocyte", True), 2: ("platelet", False)})
                    store.decide(2, {1: ("platelet", True)})
                    store.undo(2)
            contents.append(path.read_bytes())
    return contents


def manifest_seeds() -> list[bytes]:
    """Return the manifest of a shipped run, and one that accepts two versions of a card."""
    accepted = (sha256(b"{}").hexdigest(), WEIGHTS)
    return [
        (SHIPPED / MANIFEST_FILE).read_bytes(),
        Manifest(files={"card.json": accepted, "a/b.png": accepted[:1]}).to_json(),
    ]


def reference_seeds() -> list[bytes]:
    """Return a small reference."""
    rng = np.random.default_rng(0)

    def features(num: int) -> Embedding:
        return Embedding(*(rng.random((num, 2), np.float32) for _ in range(2)))

    labels = np.arange(100) % 3
    properties = rng.random((100, len(PROPERTIES)), np.float32)
    few = np.arange(6) % 3
    return [Reference(WEIGHTS, features(100), labels, properties, features(6), few, few).to_bytes()]


def lab_seeds() -> list[bytes]:
    """Return profiles that change nothing, and both scale and colour."""
    card = RunFolder(SHIPPED).read_card()
    measures = card.appearance.measures if card.appearance else {}
    full = Lab(
        scale=1.3, white_point=(240, 235, 200), target_white_point=(255, 232, 210),
        reasons=("a",), source="b", num_images=9, measures=measures, reference=measures,
        weights_sha256=WEIGHTS,
    )  # fmt: skip
    return [Lab().to_json(), full.to_json()]


def csv_boxes() -> list[bytes]:
    """Return tables of boxes."""
    return [
        b"field,cell,x0,y0,x1,y1,score\na.png,wbc,1,2,30,40,0.5\nb.png,rbc,0,0,9,9,\n",
        b"filename,label,xmin,ymin,xmax,ymax\na.png,wbc,1,2,30,40\n",
    ]


def coco_boxes() -> list[bytes]:
    """Return boxes in COCO's format."""
    tree = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "categories": [{"id": 1, "name": "wbc"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.5},
            {"id": 2, "image_id": 2, "bbox": [0, 0, 9.5, 9]},
        ],
    }
    return [json.dumps(tree).encode()]


def voc_boxes() -> list[bytes]:
    """Return boxes in Pascal VOC's format."""
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"
    objects = f"<object><name>wbc</name>{box}</object>" * 2
    return [f"<annotation><filename>a.png</filename>{objects}</annotation>".encode()]


def audit_tables() -> list[bytes]:
    """Return tables of findings."""
    found = [
        findings.Finding("a/1.png", "outlier", "", 0.5, 0.4, "review", "monocyte"),
        findings.Finding("a/2.png", "exact_duplicate", "1", 1.0, 1.0, "keep one"),
        findings.Finding("a/3.png", "exact_duplicate", "1", 1.0, 1.0, "keep one"),
        findings.Finding("a/4.png", "doctored", "", 0.9, 0.5, "drop"),
    ]
    return [findings.to_csv(found).encode(), findings.to_csv([]).encode()]


def audit_summaries() -> list[bytes]:
    """Return the summary of an audit."""
    summary = AuditSummary(
        source="cells", num_images=8, listing_sha256=AUDITED.sha256(), num_dropped=2,
        findings={"outlier": 1, "doctored": 1}, groups={"exact_duplicate": 1},
        class_counts={"a": 4}, class_counts_clean={"a": 3}, sizes={"9 x 7": 8},
        qualities={"sharpness": (0.1, 0.5, 0.9)}, compared_with="", two_sample_auc=None,
        settings=AuditConfig(), seconds=1.5, notes=("a",), provenance=collect(),
    )  # fmt: skip
    return [summary.to_json()]


def shipped(name: str) -> Callable[[], Sequence[bytes]]:
    """Return what reads a file of a shipped run."""
    return lambda: [(SHIPPED / name).read_bytes()]


def csv_seeds() -> list[bytes]:
    """Return tables of images."""
    return [MANIFEST, *made(files.csv_table)()]


def setting_seeds() -> list[bytes]:
    """Return all settings of a training, and one."""
    return [make_config().to_toml().encode(), b"seed = 3\n"]


def hash_seeds() -> list[bytes]:
    """Return hashes of training images."""
    return [hashes_as_npy(np.arange(9, dtype=np.uint64))]
