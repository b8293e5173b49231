"""Croissant metadata of the training images of a run (JSON-LD, Croissant 1.0, MLCommons 2024)."""

import json
from typing import Any

from stainproof.reports.about import NOT_STATED, DataAbout
from stainproof.runs.card import Card
from stainproof.runs.folder import RunFolder
from stainproof.runs.manifest import hash_of

PREFIXES = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}
TERMS = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject",
    "fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField",
    "path", "recordSet",
    "references", "regex", "repeated", "replace", "samplingRate", "separator", "source",
    "subField", "transform",
)  # fmt: skip
"""Terms of the recommended context of Croissant 1.0 that stand for `cr:` and their name."""


def croissant(run: RunFolder, card: Card, about: DataAbout) -> str:
    """Return the metadata as JSON-LD text.

    It has the classes with their number of images in each split, and, if the run folder has
    `splits.csv`, the file, class and split of every image.

    Args:
        run: The run folder; `splits.csv` is hashed.
        card: Its card.
        about: Origin and licence of the images.
    """
    has_list = run.splits.exists()
    tree = {
        "@context": PREFIXES | {term: f"cr:{term}" for term in TERMS},
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": _stated(about.name, card.data.source),
        "description": _stated(about.description, f"Training images of a run: {card.data.source}."),
        "license": about.licence,
        "url": about.url or f"urn:sha256:{card.data.sha256}",
        "citeAs": about.citation,
        "datePublished": about.published or card.provenance.created[:10],
        "version": "1.0.0",
        "identifier": f"sha256:{card.data.sha256}",
        **({"sameAs": f"https://doi.org/{about.doi}"} if about.doi else {}),
        "distribution": [_list_of_images(run)] if has_list else [],
        "recordSet": [_classes(card), *([_images()] if has_list else [])],
    }
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"


def _stated(text: str, otherwise: str) -> str:
    return otherwise if text in ("", NOT_STATED) else text


def _list_of_images(run: RunFolder) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": "splits.csv",
        "name": "splits.csv",
        "description": "File, class, group and split of every image.",
        "contentUrl": "splits.csv",
        "encodingFormat": "text/csv",
        "sha256": hash_of(run.splits),
    }


def _classes(card: Card) -> dict[str, Any]:
    splits = card.data.class_counts
    fields = [_field("classes", "name", "Name of the class.")]
    fields += [
        _field("classes", split, f"Number of images in the split {split}.", "sc:Integer")
        for split in splits
    ]
    rows = [
        {"classes/name": name} | {f"classes/{split}": by[name] for split, by in splits.items()}
        for name in card.classes
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": "classes",
        "name": "classes",
        "description": "The classes and their numbers of images.",
        "key": {"@id": "classes/name"},
        "field": fields,
        "data": rows,
    }


def _images() -> dict[str, Any]:
    columns = {
        "name": "Path of the image.",
        "label": "Name of its class.",
        "group": "Number of its patient, slide or group of copies, which is in one split only.",
        "split": "train, val or test.",
    }
    return {
        "@type": "cr:RecordSet",
        "@id": "images",
        "name": "images",
        "description": "The images of all splits.",
        "field": [
            _field("images", column, text)
            | {"source": {"fileObject": {"@id": "splits.csv"}, "extract": {"column": column}}}
            for column, text in columns.items()
        ],
    }


def _field(records: str, name: str, text: str, kind: str = "sc:Text") -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{records}/{name}",
        "name": name,
        "description": text,
        "dataType": kind,
    }
