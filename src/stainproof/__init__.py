"""Blood-cell classifiers that hold up on someone else's slides.

`from stainproof import Classifier, train, evaluate` is the Python API; nothing heavy is imported
before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stainproof.models.predictor import Classifier
    from stainproof.pipeline import evaluate, predict, train

__all__ = ["Classifier", "evaluate", "predict", "train"]

_HOMES = {
    "Classifier": "stainproof.models.predictor",
    "evaluate": "stainproof.pipeline",
    "predict": "stainproof.pipeline",
    "train": "stainproof.pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'stainproof' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
