"""The differential count of predicted cells: shares of white cells with 95 % intervals."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from stainproof import provenance
from stainproof.config.parsing import check_seed
from stainproof.errors import ConfigError, DataError
from stainproof.evaluation.cell_names import cell_name, is_white
from stainproof.evaluation.count_result import (
    MARGIN_POINTS,
    THRESHOLD,
    UNCLASSIFIED,
    ClassCount,
    Count,
)
from stainproof.evaluation.misclassification import (
    RECALIBRATED,
    Counts,
    ErrorCounts,
    Floats,
    draw_true_counts,
    share_interval,
)
from stainproof.labels import canonical
from stainproof.shift.lab import Lab

MIN_WHITE_CELLS = 100
"""Fewest white cells of a differential without a warning (CLSI H20)."""
FACTORS = np.geomspace(1, 16, 32).tolist()
"""Multiples of the cells for which the intervals are computed to find how many are enough."""


@dataclass(frozen=True)
class _Tally:
    """Cells by class and by prediction."""

    names: tuple[str, ...]
    """Classes of the model, then the others that a person has named."""
    num: Counts
    """int64 (names,), cells that are counted as each class."""
    num_unclassified: int
    predicted: Counts
    """int64 (classes,), unconfirmed cells with each prediction, unclassified ones included."""
    confirmed: Counts
    """int64 (names, classes), confirmed cells by class and prediction."""

    @property
    def is_white(self) -> NDArray[np.bool_]:
        """Whether each name is a class of white cells."""
        return np.array([is_white(name) for name in self.names])

    @property
    def num_white(self) -> int:
        """White cells, unclassified cells included."""
        return int(self.num[self.is_white].sum()) + self.num_unclassified


def count_cells(
    probs: NDArray[np.floating],
    classes: Sequence[str],
    errors: ErrorCounts,
    *,
    confirmed: Mapping[int, str] | None = None,
    threshold: float = THRESHOLD,
    margin_points: float = MARGIN_POINTS,
    warnings: Sequence[str] = (),
    lab: Lab | None = None,
    weights_sha256: str = "",
    num_unreadable: int = 0,
    seed: int = 0,
) -> Count:
    """Count predicted cells by class, with 95 % intervals of the percentages in the blood.

    The interval joins two sources of uncertainty: few cells (exact binomial) and the errors of the
    model (its confusion matrix on labelled cells); see `misclassification`. With all cells
    confirmed it is the exact binomial interval of Clopper and Pearson (1934).

    Args:
        probs: (cells, classes), rows sum to 1.
        classes: Class names in the order of the columns.
        errors: The errors of the model, from `read_errors`.
        confirmed: Position of a cell -> its class, as a person has confirmed or corrected it; also
            a class that the model does not know. `unclassified` takes a cell out of its class.
            Spellings and synonyms of a class are one class, see `cell_names.cell_name`.
        threshold: Probability of the predicted class below which an unconfirmed cell is
            unclassified, 0 to 1.
        margin_points: Half width of an interval, in percentage points, that settles a class.
        warnings: Further warnings, as sentences without a full stop.
        lab: The laboratory profile by which the images were standardised; one that is not trusted
            is a warning.
        weights_sha256: Hash of the model's weights.
        num_unreadable: Images that could not be read.
        seed: Seed of the draws, 0 or more.

    Raises:
        ConfigError: The threshold, the margin or the seed is out of range.
        DataError: There is no cell, or a confirmed position does not exist.
    """
    check_settings(threshold, margin_points, seed)
    _check_cells(len(probs), confirmed or {})
    tally = _tally(probs, tuple(classes), confirmed or {}, threshold)
    mean_confidence = float(probs.max(axis=1).mean())
    expected = errors.expected_at(mean_confidence)
    found = _class_counts(tally, expected, seed)
    unsettled = tuple(name for name, one in found.items() if _is_unsettled(one, margin_points))
    num_confirmed = int(tally.confirmed.sum())
    is_confirmed = num_confirmed == len(probs)
    return Count(
        num_cells=len(probs),
        num_white=tally.num_white,
        num_confirmed=num_confirmed,
        num_unreadable=num_unreadable,
        classes=found,
        threshold=threshold,
        margin_points=margin_points,
        unsettled=unsettled,
        num_more=_num_more(tally, expected, unsettled, margin_points, seed) if unsettled else 0,
        errors_from=errors.source,
        num_errors_cells=errors.num_cells,
        assumption=describe_assumption(errors, is_confirmed),
        warnings=(
            *_warnings(tally.num_white, num_unreadable, lab),
            *([] if is_confirmed else _doubts(errors, mean_confidence)),
            *warnings,
        ),
        lab=lab.describe() if lab else "",
        weights_sha256=weights_sha256,
        seed=seed,
        provenance=provenance.collect(),
    )


def check_settings(threshold: float, margin_points: float, seed: int) -> None:
    """Check the settings of a count.

    Raises:
        ConfigError: One is out of range.
    """
    if not 0 <= threshold <= 1:
        raise ConfigError(f"threshold must be 0 to 1, got {threshold:g}")
    if not 0 < margin_points <= 100:
        raise ConfigError(f"margin must be above 0 and at most 100 points, got {margin_points:g}")
    check_seed(seed)


def _check_cells(num_cells: int, confirmed: Mapping[int, str]) -> None:
    if not num_cells:
        raise DataError("no cell to count; allowed: 1 or more")
    for index in confirmed:
        if not 0 <= index < num_cells:
            raise DataError(f"confirmed cell {index} does not exist; allowed: 0 to {num_cells - 1}")


def _tally(
    probs: NDArray[np.floating],
    classes: tuple[str, ...],
    confirmed: Mapping[int, str],
    threshold: float,
) -> _Tally:
    given = {index: _class_of(name, classes) for index, name in confirmed.items()}
    known = {index: name for index, name in given.items() if name != UNCLASSIFIED}
    names = tuple(dict.fromkeys((*classes, *sorted(known.values()))))
    predicted, confidence = probs.argmax(axis=1), probs.max(axis=1)
    is_known = np.isin(np.arange(len(probs)), list(known))
    is_unsure = (confidence < threshold) | np.isin(np.arange(len(probs)), list(given))
    matrix = np.zeros((len(names), len(classes)), dtype=np.int64)
    for index, name in known.items():
        matrix[names.index(name), predicted[index]] += 1
    num = matrix.sum(axis=1)
    num[: len(classes)] += np.bincount(predicted[~is_unsure], minlength=len(classes))
    return _Tally(
        names=names,
        num=num,
        num_unclassified=int((is_unsure & ~is_known).sum()),
        predicted=np.bincount(predicted[~is_known], minlength=len(classes)),
        confirmed=matrix,
    )


def _class_of(name: str, classes: tuple[str, ...]) -> str:
    """Return the class of the model that a person has named, or the name of another class."""
    for form in (canonical, cell_name):
        spelt = {form(one): one for one in classes}
        if form(name) in spelt:
            return spelt[form(name)]
    return cell_name(name)


def _class_counts(tally: _Tally, errors: Floats, seed: int) -> dict[str, ClassCount]:
    draws = _draw(tally, errors, seed)
    white = draws[:, tally.is_white].sum(axis=1)
    found = {}
    for index, (name, counts_as_white) in enumerate(zip(tally.names, tally.is_white, strict=True)):
        own = draws[:, index]
        low, high = share_interval(own, white if counts_as_white else own + white)
        if not counts_as_white:
            low, high = _odds(low), _odds(high)
        corrected = own.sum() / max(white.sum(), 1)
        found[name] = ClassCount(
            **_percentages(int(tally.num[index]), tally.num_white, low, high, corrected),
            num_confirmed=int(tally.confirmed[index].sum()),
            kind="white" if counts_as_white else "apart",
        )
    unsure, total = np.array([tally.num_unclassified]), np.array([tally.num_white])
    found[UNCLASSIFIED] = ClassCount(
        **_percentages(tally.num_unclassified, tally.num_white, *share_interval(unsure, total)),
        num_confirmed=0,
        kind=UNCLASSIFIED,
    )
    return found


def _draw(tally: _Tally, errors: Floats, seed: int, factor: float = 1.0) -> Counts:
    """Draw true counts int64 (draws, names) of the cells, or of `factor` times as many."""
    predicted, confirmed = (
        np.rint(factor * part).astype(np.int64) for part in (tally.predicted, tally.confirmed)
    )
    known, others = np.split(confirmed, [len(errors)])
    draws = draw_true_counts(predicted, known, errors, np.random.default_rng(seed))
    of_others = np.broadcast_to(others.sum(axis=1), (len(draws), len(others)))
    return np.concatenate([draws, of_others], axis=1)


def _percentages(
    num: int, num_white: int, low: float, high: float, corrected: float | None = None
) -> dict[str, float | int | None]:
    if not num_white:
        return {"num": num} | dict.fromkeys(("percent", "low", "high", "corrected"))
    share = num / num_white
    return {
        "num": num,
        "percent": 100 * share,
        "low": 100 * min(low, share),
        "high": 100 * max(high, share),
        "corrected": None if corrected is None else 100 * float(corrected),
    }


def _odds(share: float) -> float:
    """Return how many there are for one of the others."""
    return share / max(1 - share, 1e-6)


def _is_unsettled(one: ClassCount, margin_points: float) -> bool:
    return one.kind == "white" and one.half_width > margin_points


def _num_more(
    tally: _Tally, errors: Floats, unsettled: Sequence[str], margin_points: float, seed: int
) -> int | None:
    """Return how many more white cells settle the classes; None if the largest factor does not."""

    def is_settled(factor: float) -> bool:
        draws = _draw(tally, errors, seed, factor)
        white = draws[:, tally.is_white].sum(axis=1)
        for index in map(tally.names.index, unsettled):
            low, high = share_interval(draws[:, index], white)
            share = tally.num[index] / tally.num_white
            if 100 * (max(high, share) - min(low, share)) > 2 * margin_points:
                return False
        return True

    index = bisect_left(FACTORS, True, key=is_settled)
    return ceil((FACTORS[index] - 1) * tally.num_white) if index < len(FACTORS) else None


def describe_assumption(errors: ErrorCounts, is_confirmed: bool) -> str:
    """Return what the intervals of a count assume, as sentences."""
    if is_confirmed:
        return "A person has confirmed every cell: the intervals are exact binomial intervals."
    where = f"{errors.source} ({errors.num_cells:,} labelled cells)"
    text = f"The intervals assume that the model errs on these cells as it did on {where}."
    if errors.borrowed:
        names = ", ".join(errors.borrowed)
        text += f" That source has no {names}: their errors are those on the run's own images."
    if errors.is_home:
        text += (
            " Those cells are of the laboratory of the training images; on slides of another "
            "laboratory errors are more frequent, and the intervals are too narrow."
        )
    return text


def _doubts(errors: ErrorCounts, mean_confidence: float) -> list[str]:
    if errors.is_recalibrated:
        return [RECALIBRATED]
    if not errors.is_less_sure(mean_confidence):
        return []
    return [
        f"the model is less sure of these cells (mean probability {100 * mean_confidence:.0f} %) "
        f"than of those on which its errors were measured ({100 * errors.mean_confidence:.0f} %); "
        "the intervals are widened, but can still be too narrow: confirm cells, or measure the "
        "errors on labelled cells of this laboratory"
    ]


def _warnings(num_white: int, num_unreadable: int, lab: Lab | None) -> list[str]:
    found = []
    if num_white < MIN_WHITE_CELLS:
        found.append(f"{num_white} white cells; a differential count needs {MIN_WHITE_CELLS}")
    if num_unreadable:
        found.append(f"{num_unreadable} images could not be read and are not counted")
    if lab and not lab.trusted:
        reasons = "; ".join(lab.reasons) or "no reason is given"
        found.append(f"the laboratory profile is not trusted, and no image was changed: {reasons}")
    return found
