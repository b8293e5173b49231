"""Decide on the correction of a source: what was measured, if the predictions become more certain.

The pictures say which zoom and white point to try, the predictions which of them to apply: those
of least mean entropy, near the measured zoom, and none unless the entropy falls. The criterion
looks at each image alone, so a source of one class does not mislead it, as it misleads the mutual
information between image and predicted class (Bridle et al. 1992), which asks for a mixture.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from stainproof.progress import Track, silent
from stainproof.shift.lab import MAX_SCALE, MIN_SCALE
from stainproof.shift.rulers import MeasuredScale

OFFSETS = (-0.22, -0.11, 0.0, 0.11, 0.22)
"""Log scales that are tried, relative to the measured one."""
STIFFNESS = 0.06
"""Nats of entropy that a zoom must save to be one standard error from the measured one."""
MIN_GAIN = 0.02
"""Nats of mean entropy that a correction must save; none is applied otherwise."""
TOLERANCE = 0.03
"""Nats by which the mean entropy may rise instead, if the measured zoom is `CLEAR` above 1: cells
in wide crops are known to be misjudged. A zoom below 1 has to make up a border.
"""
MIN_IMAGES_FOR_WHITE = 32
"""Images from which the white point may be corrected. With fewer, the entropy is too noisy to say
whether it helps: half of the corrections that harm a source of 16 images are of the white point.
"""
CLEAR = 2.0
"""Standard errors by which a measured log scale differs from 0 beyond doubt."""


@dataclass(frozen=True)
class Correction:
    """A change of the images of a source."""

    scale: float = 1.0
    white: bool = False
    """Whether the white point is corrected."""

    def describe(self) -> str:
        """Return it as text, such as `scale 1.30 and white point`."""
        return f"scale {self.scale:.2f}{' and white point' if self.white else ''}"


UNCHANGED = Correction()
Predict = Callable[[Correction], NDArray[np.float32]]
"""Maps a correction to the probabilities of the source's images, (n, classes), after it."""


@dataclass(frozen=True)
class Decision:
    """The correction that a profile applies, and why."""

    correction: Correction
    trusted: bool
    reasons: tuple[str, ...]


def decide(measured: MeasuredScale, predict: Predict, track: Track = silent) -> Decision:
    """Return the correction of a source.

    Args:
        measured: The zoom that the rulers found.
        predict: The classifier without a laboratory profile, on images of the source. If there are
            fewer than 32 of them, the white point is not corrected.
        track: Shows progress.
    """
    if measured.refusal:
        refused = f"not trusted: {measured.refusal}; nothing is changed"
        return Decision(UNCHANGED, False, (refused, *measured.said))

    predicted = cache(predict)

    def entropy_of(correction: Correction) -> float:
        return mean_entropy(predicted(correction))

    plain = entropy_of(UNCHANGED)
    tried = candidates(measured, white=len(predicted(UNCHANGED)) >= MIN_IMAGES_FOR_WHITE)
    entropies = [entropy_of(one) for one in track(tried, "trying corrections", len(tried))]
    strained = [
        entropy + STIFFNESS * ((math.log(one.scale) - measured.log_scale) / measured.error) ** 2
        for one, entropy in zip(tried, entropies, strict=True)
    ]
    index = int(np.argmin(strained))
    best, entropy = tried[index], entropies[index]
    line = f"entropy of the predictions: {plain:.3f} nats, with {best.describe()} {entropy:.3f}"
    said = (*measured.said, line)
    distance = measured.log_scale / measured.error
    if plain - entropy >= (-TOLERANCE if distance > CLEAR else MIN_GAIN):
        return Decision(best, True, said)
    if abs(distance) <= CLEAR:
        kept = "no correction makes the predictions more certain; nothing is changed"
        return Decision(UNCHANGED, True, (kept, *said))
    refused = "not trusted: the measured scale does not make the predictions more certain"
    return Decision(UNCHANGED, False, (f"{refused}; nothing is changed", *said))


def candidates(measured: MeasuredScale, *, white: bool = True) -> list[Correction]:
    """Return the corrections that are tried: zooms near the measured one, with and without white.

    Args:
        measured: The zoom that the rulers found.
        white: Whether to correct the white point also.
    """
    log_scales = [measured.log_scale + offset for offset in OFFSETS]
    if min(log_scales) < 0 < max(log_scales):
        log_scales.append(0.0)
    scales = [round(math.exp(value), 3) for value in log_scales]
    allowed = [scale for scale in scales if MIN_SCALE <= scale <= MAX_SCALE]
    return [Correction(scale, also) for scale in allowed for also in sorted({False, white})]


def mean_entropy(probs: NDArray[np.float32]) -> float:
    """Return the mean entropy of predictions in nats.

    Args:
        probs: (n, classes), rows sum to 1.
    """
    positive = np.maximum(probs.astype(np.float64), 1e-12)
    return float(-(positive * np.log(positive)).sum(axis=-1).mean())
