"""Trials and results of a search over a small space, made without training."""

import tomllib
from collections.abc import Sequence
from typing import Any

from optuna.trial import FixedTrial

from stainproof.provenance import Provenance
from stainproof.search.propose import front, importances
from stainproof.search.results import Search, Trial
from stainproof.search.space import assignments, parse_space

SMALL = parse_space(
    tomllib.loads(
        """
        network.dropout = { low = 0.0, high = 0.9 }
        training.epochs = { low = 1, high = 9 }
        augment.recipe = ["none", "stains"]
        """
    )
)


def make_trial(
    number: int,
    accuracy: float | None = 0.5,
    num_parameters: int | None = 1000,
    latency_ms: float | None = 1.0,
    **other: Any,
) -> Trial:
    """Return a finished trial; its settings depend on the number alone."""
    params: dict[str, Any] = {
        "network.dropout": (number * 0.37) % 0.9,
        "training.epochs": 1 + number % 9,
        "augment.recipe": "stains" if number % 2 else "none",
    }
    fields = {
        "number": number,
        "outcome": "finished",
        "params": params,
        "assignments": assignments(SMALL.draw(FixedTrial(params))),
        "accuracy": accuracy,
        "val_accuracy": accuracy,
        "num_val_images": 200,
        "num_parameters": num_parameters,
        "latency_ms": latency_ms,
    }
    return Trial.model_validate(fields | other)


def make_search(trials: Sequence[Trial], **other: Any) -> Search:
    """Return the results of a search with these trials."""
    fields = {
        "source": "cells",
        "num_images": 2000,
        "num_trials": 20,
        "budget_s": 60.0,
        "seed": 0,
        "fixed": (),
        "space": SMALL.describe(),
        "trials": tuple(trials),
        "preset": 0,
        "front": front(trials),
        "importances": importances(trials, SMALL),
        "provenance": Provenance(
            stainproof="0.1.0", commit="0123456789ab", command="stainproof search cells",
            python="3.11", torch="2.13", numpy="2", machine="Some Processor, 2 cores",
            created="2025-03-01T10:00:00+00:00",
        ),
    }  # fmt: skip
    return Search.model_validate(fields | other)
