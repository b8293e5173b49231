"""Weight averaging: over the epochs of a run, or over several runs of one network."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from stainproof.config.parsing import check_known
from stainproof.config.schema import Config, Preprocessing
from stainproof.data.dataset import Dataset
from stainproof.data.images import Images
from stainproof.errors import CheckpointError, ConfigError
from stainproof.models.backbones import batch_norms
from stainproof.models.network import build_network
from stainproof.models.preprocessing import to_tensor
from stainproof.models.weights import load_weights
from stainproof.runs.folder import RunFolder
from stainproof.runs.history import EpochRecord
from stainproof.training.batches import Batches
from stainproof.training.compute import Compute
from stainproof.training.validation import Validation, Validator, selection_accuracy, selection_loss

State = dict[str, Tensor]

CHOICES = ("threshold", "last", "greedy")
NUM_BN_IMAGES = 4096
"""Number of augmented training images that batch-normalisation statistics are recomputed on."""
NEAR_BEST = 1.1
"""Epochs whose validation loss is at most this many times the lowest are averaged."""
LAST_FRACTION = 0.25


@dataclass(frozen=True)
class Candidate:
    """Weights that may be averaged, and their validation metrics."""

    path: Path
    record: EpochRecord

    def load(self) -> State:
        """Read the weights."""
        return load_weights(self.path)


@dataclass(frozen=True)
class AveragedWeights:
    """Averaged weights."""

    state: State
    validation: Validation
    """Their validation metrics."""
    description: str
    """Which weights were averaged."""


def check_choice(choice: str, max_val_loss: float | None, num_runs: int) -> None:
    """Check the choice against the other arguments.

    Raises:
        ConfigError: The choice is unknown or contradicts them.
    """
    check_known(choice, CHOICES, "choice")
    if max_val_loss is not None and choice != "threshold":
        raise ConfigError(f"--max-val-loss: only --choice threshold uses it, got --choice {choice}")
    if choice == "last" and num_runs > 1:
        raise ConfigError(f"--choice last: averages the epochs of one run, got {num_runs} runs")


def find_candidates(runs: Sequence[RunFolder]) -> list[Candidate]:
    """Return the kept epochs of one run, in order, or the best weights of several runs.

    Raises:
        CheckpointError: A run cannot be read, has kept no epochs, or is of another network.
    """
    cards = [run.read_card() for run in runs]
    for run, card in zip(runs, cards, strict=True):
        if (card.network, card.preprocessing, card.classes) != (
            cards[0].network, cards[0].preprocessing, cards[0].classes,
        ):  # fmt: skip
            raise CheckpointError(f"{run}: another network, input or classes than {runs[0]}")
    validated_on = [run.read_config().augment.validation for run in runs]
    for run, own in zip(runs, validated_on, strict=True):
        if own != validated_on[0]:
            raise CheckpointError(
                f"{run}: was validated on other images (augment.validation={own}) than "
                f"{runs[0]} ({validated_on[0]})"
            )
    for run in runs:
        run.check(run.best, *(run.path / "epochs").glob("*.safetensors"))
    if len(runs) > 1:
        return [Candidate(run.best, card.best) for run, card in zip(runs, cards, strict=True)]
    found = [Candidate(runs[0].epoch(record.epoch), record) for record in runs[0].read_history()]
    found = [one for one in found if one.path.exists()]
    if len(found) < 2:
        raise CheckpointError(
            f"{runs[0]}: has not kept its epochs; train with --set training.keep_every_epoch=true"
        )
    return found


def average_weights(
    candidates: Sequence[Candidate],
    choice: str,
    config: Config,
    train: Dataset,
    val: Dataset,
    max_val_loss: float | None = None,
) -> AveragedWeights:
    """Average weights, recompute batch-normalisation statistics, and validate.

    Args:
        candidates: The weights to choose from.
        choice: `threshold`: all up to a validation loss, as in the AN2DL paper; `last`: the last
            quarter (stochastic weight averaging, Izmailov et al. 2018); `greedy`: from the best on,
            each that does not lower the validation accuracy (model soup, Wortsman et al. 2022).
        config: Settings of the candidates' run.
        train: Its training images.
        val: Its validation images.
        max_val_loss: Threshold of `threshold`; by default 1.1 times the lowest loss.

    Raises:
        ConfigError: No weights are below the threshold.
    """
    network = build_network(config, len(train.classes))
    exact = Compute(torch.get_num_threads(), "float32")
    validator = Validator(config, network, val, torch.device("cpu"), exact)
    images = make_bn_batches(train, config) if batch_norms(network) else []

    def mean_of(some: Iterable[Candidate]) -> State:
        mean = mean_state(one.load() for one in some)
        return recompute_bn_stats(network, mean, images, config.preprocessing)

    if choice == "greedy":
        ranked = sorted(candidates, key=lambda one: -selection_accuracy(one.record))
        chosen = choose_greedily(ranked, lambda some: selection_accuracy(validator(mean_of(some))))
        summary = f"{len(chosen)} of {len(candidates)} chosen greedily"
    elif choice == "last":
        chosen = list(candidates[-max(2, round(LAST_FRACTION * len(candidates))) :])
        summary = f"the last {len(chosen)} of {len(candidates)}"
    else:
        lowest = min(selection_loss(one.record) for one in candidates)
        threshold = NEAR_BEST * lowest if max_val_loss is None else max_val_loss
        chosen = [one for one in candidates if selection_loss(one.record) <= threshold]
        summary = f"{len(chosen)} of {len(candidates)} with a validation loss up to {threshold:.4g}"
        if not chosen:
            raise ConfigError(
                f"--max-val-loss: the lowest validation loss is {lowest:.4g}, got {threshold:g}"
            )
    state = mean_of(chosen)
    return AveragedWeights(state, validator(state), f"mean of {summary}")


def mean_state(states: Iterable[State]) -> State:
    """Return the mean of weights, float32; integers are those of the first."""
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


def choose_greedily(
    ranked: Sequence[Candidate], score: Callable[[Sequence[Candidate]], float]
) -> list[Candidate]:
    """Return the first candidate and each later one that does not lower the average's score."""
    chosen = [ranked[0]]
    best = score(chosen)
    for one in ranked[1:]:
        figure = score([*chosen, one])
        if figure >= best:
            chosen.append(one)
            best = figure
    return chosen


def make_bn_batches(train: Dataset, config: Config) -> list[Images]:
    """Return augmented batches to recompute batch-normalisation statistics on.

    The list is empty if `training.freeze_norms` is set: the stored statistics are then kept.
    """
    images: list[Images] = []
    if not config.training.freeze_norms:
        for batch in Batches(train, config).epoch(1):
            images.append(batch.images)
            if sum(map(len, images)) >= NUM_BN_IMAGES:
                break
    return images


@torch.no_grad()
def recompute_bn_stats(
    network: nn.Module, state: State, images: Sequence[Images], preprocessing: Preprocessing
) -> State:
    """Return weights with recomputed means and variances of batch normalisation.

    The running statistics depend on the weights, and averaged statistics are not those of averaged
    weights (Izmailov et al. 2018, "Averaging Weights", section 3.2).

    Args:
        network: Receives the weights.
        state: The weights.
        images: Batches to compute on; without any, the weights are returned unchanged.
        preprocessing: Preprocessing of the network.
    """
    network.load_state_dict(state)
    if not images:
        return state
    update_bn((to_tensor(torch.from_numpy(batch), preprocessing) for batch in images), network)
    return {key: value.clone() for key, value in network.eval().state_dict().items()}
