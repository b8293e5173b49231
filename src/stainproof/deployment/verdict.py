"""The verdict on a laboratory: fit for use, label cells first, or not fit."""

from collections.abc import Sequence

from stainproof.deployment.result import ClassEstimate, Drift, Verdict
from stainproof.runs.artefact import Estimate

FIT_VALUE, FIT_LOW = 0.9, 0.8
"""Expected accuracy, and lower end of its interval, from which a run is fit for use."""
MIN_VALUE = 0.5
"""Expected accuracy below which a run is not fit."""
FIT_UNLIKE, MAX_UNLIKE = 0.1, 0.5
"""Share of unlike images up to which a run is fit, and above which it is not."""
DOUBTFUL_PRECISION = 0.75
MIN_IMAGES = 20
"""Fewer images are never enough for `fit`."""


def judge(
    accuracy: Estimate,
    drift: Drift,
    unlike_share: float,
    classes: Sequence[ClassEstimate],
    num_images: int,
) -> tuple[Verdict, tuple[str, ...]]:
    """Return the verdict and the sentences that explain it.

    Args:
        accuracy: Expected accuracy with its interval.
        drift: Result of the two-sample tests.
        unlike_share: Share of images that are unlike the home cells.
        classes: Expected precision of every class.
        num_images: Number of images that were checked.
    """
    is_fit = (
        accuracy.value >= FIT_VALUE
        and accuracy.low >= FIT_LOW
        and unlike_share <= FIT_UNLIKE
        and num_images >= MIN_IMAGES
    )
    is_unfit = accuracy.value < MIN_VALUE or unlike_share > MAX_UNLIKE
    verdict: Verdict = "fit" if is_fit else "not fit" if is_unfit else "label 32 cells first"
    moved = [test.name for test in drift.moved][:5]
    doubtful = [
        f"{one.name} ({100 * one.expected_precision:.0f} %)"
        for one in classes
        if one.expected_precision is not None and one.expected_precision < DOUBTFUL_PRECISION
    ]
    sentences = [
        f"Expected accuracy {accuracy.percent()}; fit for use from {100 * FIT_VALUE:.0f} % with a "
        f"lower end of {100 * FIT_LOW:.0f} %.",
        f"The images differ from the home cells in {', '.join(moved)}."
        if moved
        else f"No difference from the home cells was found (p = {drift.p_value:.2g}).",
        f"{100 * unlike_share:.1f} % of the images are unlike the home cells.",
    ]
    if doubtful:
        sentences.append(f"Answers to doubt, with their expected precision: {', '.join(doubtful)}.")
    if num_images < MIN_IMAGES:
        sentences.append(f"{num_images} images are few: {MIN_IMAGES} or more are needed.")
    return verdict, tuple(sentences)
