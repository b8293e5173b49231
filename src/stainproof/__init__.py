"""Blood-cell classifiers that hold up on other laboratories' slides.

`from stainproof import Classifier, train, evaluate, predict` covers everyday use; `stainproof.api`
has all stages. Modules are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stainproof.api import Classifier, evaluate, predict, train

__all__ = ["Classifier", "evaluate", "predict", "train"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'stainproof' has no attribute {name!r}")
    return getattr(import_module("stainproof.api"), name)
