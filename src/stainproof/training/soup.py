"""Means of trained weights: over the epochs of a run, or over runs of one network."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from stainproof.config import Config
from stainproof.data.images import Images
from stainproof.data.imageset import ImageSet
from stainproof.errors import CheckpointError, ConfigError
from stainproof.models.network import build_network, to_input
from stainproof.models.weights import load_weights
from stainproof.results import BEST_FILE, CARD_FILE, EPOCHS_FOLDER, Card, EpochRecord
from stainproof.training.batches import Batches
from stainproof.training.judge import Judge
from stainproof.training.loop import driving_accuracy, read_history

State = dict[str, Tensor]

CHOICES = ("threshold", "last", "greedy")
NORM_IMAGES = 4096
"""Training images, changed as in training, that batch normalisation is measured anew on."""
NEAR_BEST = 1.1
"""Epochs whose validation loss is at most this many times the lowest are near the best."""
LAST_SHARE = 0.25


@dataclass(frozen=True)
class Candidate:
    """Weights that may go into a mean, and how they did on validation images."""

    path: Path
    record: EpochRecord

    @property
    def loss(self) -> float:
        """Return the loss that drives training: on changed images where there are any."""
        shifted = self.record.val_shifted_loss
        return self.record.val_loss if shifted is None else shifted

    def load(self) -> State:
        """Read the weights."""
        return load_weights(self.path)


@dataclass(frozen=True)
class Soup:
    """The mean of weights, ready to use."""

    state: State
    record: EpochRecord
    """How it did on validation images."""
    words: str
    """What was averaged."""


def find_candidates(runs: Sequence[Path]) -> list[Candidate]:
    """Return the kept epochs of one run, in order, or the best weights of several runs.

    Raises:
        CheckpointError: A run cannot be read, has kept no epochs, or is of another network.
    """
    cards = [Card.read(run / CARD_FILE) for run in runs]
    for run, card in zip(runs, cards, strict=True):
        if (card.network, card.input, card.classes) != (
            cards[0].network, cards[0].input, cards[0].classes,
        ):  # fmt: skip
            raise CheckpointError(f"{run}: another network, input or classes than {runs[0]}")
    if len(runs) > 1:
        return [
            Candidate(run / BEST_FILE, card.best) for run, card in zip(runs, cards, strict=True)
        ]
    found = [
        Candidate(runs[0] / EPOCHS_FOLDER / f"{record.epoch:04d}.safetensors", record)
        for record in read_history(runs[0])
    ]
    found = [one for one in found if one.path.exists()]
    if len(found) < 2:
        raise CheckpointError(
            f"{runs[0]}: has not kept its epochs; train with --set training.keep_every_epoch=true"
        )
    return found


def make_soup(
    candidates: Sequence[Candidate],
    choice: str,
    config: Config,
    train: ImageSet,
    val: ImageSet,
    under: float | None = None,
) -> Soup:
    """Average weights and measure batch normalisation and validation accuracy anew.

    Args:
        candidates: What to choose from.
        choice: `threshold`: all under a validation loss, as in the report; `last`: the last
            quarter (stochastic weight averaging, Izmailov et al. 2018); `greedy`: from the best
            on, each that does not lower validation accuracy (Wortsman et al. 2022).
        config: Settings of the run that the candidates are from.
        train: Its training images.
        val: Its validation images.
        under: Of `threshold`: the loss; by default 1.1 times the lowest.

    Raises:
        ConfigError: The choice is unknown, or nothing lies under the threshold.
    """
    network = build_network(config, len(train.classes))
    judge = Judge(config, network, val, torch.device("cpu"))

    def settled(states: Iterable[State]) -> State:
        return measure_norms(network, mean_state(states), train, config)

    if choice == "greedy":
        ranked = sorted(candidates, key=lambda one: -driving_accuracy(one.record))
        chosen = greedy(ranked, lambda some: judge(settled(one.load() for one in some))[-1][1])
        words = f"{len(chosen)} of {len(candidates)} chosen greedily"
    elif choice == "last":
        chosen = list(candidates[-max(2, round(LAST_SHARE * len(candidates))) :])
        words = f"the last {len(chosen)} of {len(candidates)}"
    elif choice == "threshold":
        line = NEAR_BEST * min(one.loss for one in candidates) if under is None else under
        chosen = [one for one in candidates if one.loss <= line]
        words = f"{len(chosen)} of {len(candidates)} with a validation loss up to {line:.4g}"
        if not chosen:
            lowest = min(one.loss for one in candidates)
            raise ConfigError(f"under: the lowest validation loss is {lowest:.4g}, got {line:g}")
    else:
        raise ConfigError(f"choice {choice!r} is unknown; allowed: {', '.join(CHOICES)}")
    state = settled(one.load() for one in chosen)
    return Soup(state, _judged(candidates[-1].record, judge(state)), f"mean of {words}")


def mean_state(states: Iterable[State]) -> State:
    """Return the mean of weights, float32; whole numbers are those of the first."""
    sums: State = {}
    num = 0
    for state in states:
        num += 1
        for key, value in state.items():
            if not value.is_floating_point():
                sums.setdefault(key, value)
            elif key in sums:
                sums[key] += value.double()
            else:
                sums[key] = value.double()
    return {
        key: (value / num).float() if value.is_floating_point() else value
        for key, value in sums.items()
    }


def greedy(
    ranked: Sequence[Candidate], judged: Callable[[Sequence[Candidate]], float]
) -> list[Candidate]:
    """Return the first, and every later one that does not lower the figure of all together."""
    chosen = [ranked[0]]
    best = judged(chosen)
    for one in ranked[1:]:
        figure = judged([*chosen, one])
        if figure >= best:
            chosen.append(one)
            best = figure
    return chosen


@torch.no_grad()
def measure_norms(network: nn.Module, state: State, train: ImageSet, config: Config) -> State:
    """Return weights with batch normalisation's means and variances measured anew.

    Those kept with weights belong to these weights; their mean over several is not what the mean
    of the weights gives (Izmailov et al. 2018, "Averaging Weights", section 3.2). What training
    kept frozen stays.

    Args:
        network: Is given the weights.
        state: The weights.
        train: Images to measure on.
        config: How training changes them.
    """
    network.load_state_dict(state)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    if not norms or config.training.freeze_norms:
        return state
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
    network.train()
    for images in _some_images(train, config):
        network(to_input(torch.from_numpy(images), config.input))
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
    return {key: value.clone() for key, value in network.eval().state_dict().items()}


def _some_images(train: ImageSet, config: Config) -> Iterator[Images]:
    seen = 0
    for batch in Batches(train, config).epoch(1):
        yield batch.images
        seen += len(batch.images)
        if seen >= NORM_IMAGES:
            return


def _judged(record: EpochRecord, found: list[tuple[float, float]]) -> EpochRecord:
    """Return the record with what the mean reaches on validation images."""
    (loss, accuracy), *shifted = found
    shifted_loss, shifted_accuracy = shifted[0] if shifted else (None, None)
    return record.model_copy(
        update={
            "val_loss": loss,
            "val_accuracy": accuracy,
            "val_shifted_loss": shifted_loss,
            "val_shifted_accuracy": shifted_accuracy,
        }
    )
