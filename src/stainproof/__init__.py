"""Train, audit and deliver blood-cell classifiers that hold up on other laboratories' slides.

Example:
    >>> from stainproof import Classifier, audit, clean, evaluate, train
    >>> findings = audit("cells", "audits/cells")
    >>> kept = clean("cells", "audits/cells", "clean.csv")
    >>> card = train("clean.csv", "runs/first", preset="light", budget="5s", seed=1)
    >>> accuracy = evaluate("runs/first", "other_lab").accuracy.percent()
    >>> label = Classifier.load("runs/first").predict("new_cells/a.png")[0]

Each function is a stage of the pipeline and has a command of the same name; `stainproof.api`
describes how they fit together. Mistakes that a user can fix raise a `stainproof.errors` exception
with a message of one line. Modules are imported when they are first used.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stainproof import api, errors
    from stainproof.api import (
        Classifier,
        adapt,
        audit,
        average,
        calibrate,
        check,
        clean,
        count,
        crop,
        ensemble,
        evaluate,
        explain,
        pick,
        predict,
        predict_fields,
        profile,
        quantise,
        report,
        train,
    )
    from stainproof.config.schema import Config

    __version__: str

__all__ = [
    "Classifier",
    "Config",
    "__version__",
    "adapt",
    "api",
    "audit",
    "average",
    "calibrate",
    "check",
    "clean",
    "count",
    "crop",
    "ensemble",
    "errors",
    "evaluate",
    "explain",
    "pick",
    "predict",
    "predict_fields",
    "profile",
    "quantise",
    "report",
    "train",
]


MODULES = ("api", "errors")
"""Modules that are attributes before they are imported."""


def __getattr__(name: str) -> Any:
    if name in MODULES:
        return import_module(f"stainproof.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'stainproof' has no attribute {name!r}")
    if name == "__version__":
        return import_module("importlib.metadata").version("stainproof")
    where = "stainproof.config.schema" if name == "Config" else "stainproof.api"
    return getattr(import_module(where), name)


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """This package. `stainproof.audit` is the function, also after the package `audit` is imported.

    The import system sets a subpackage as an attribute of its package, which would hide the
    function; `from stainproof.audit.checks import run_checks` does not use that attribute.
    """

    @property
    def audit(self) -> Any:
        return __getattr__("audit")

    @audit.setter
    def audit(self, subpackage: ModuleType) -> None:
        pass


sys.modules[__name__].__class__ = _Package
