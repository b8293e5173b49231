"""What an ONNX file says about itself: class names and how images are prepared."""

import json
from collections.abc import Sequence
from typing import Any

import onnx

from stainproof.config.schema import Preprocessing

CLASSES_KEY, PREPROCESSING_KEY = "classes", "preprocessing"


def add_metadata(model: bytes, classes: Sequence[str], preprocessing: Preprocessing) -> bytes:
    """Return an ONNX model with its classes and preprocessing as metadata.

    The entries of `metadata_props` are JSON texts: `classes`, the class names in the order of the
    output, and `preprocessing`, what a caller does with an image. Scaling to [0, 1], mean and
    standard deviation are not in it: the network contains them.

    Args:
        model: The model; entries of these names are replaced.
        classes: Class names in the order of the output `probs`.
        preprocessing: Of the run.
    """
    steps: dict[str, Any] = {
        "input": "images",
        "type": "uint8",
        "layout": "NHWC",
        "channels": preprocessing.channels,
        "size_px": preprocessing.size_px,
        "fit": preprocessing.fit,
        "shrink": "area",
        "enlarge": "bicubic",
    }
    if preprocessing.white_point:
        steps["white_point"] = preprocessing.white_point
    proto = onnx.load_model_from_string(model)
    kept = {entry.key: entry.value for entry in proto.metadata_props}
    added = {CLASSES_KEY: json.dumps(list(classes)), PREPROCESSING_KEY: json.dumps(steps)}
    onnx.helper.set_model_props(proto, kept | added)
    return bytes(proto.SerializeToString(deterministic=True))
