"""Validation of weights on the validation images as they are and on an augmented copy of them."""

import copy
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stainproof.augment.augmenter import Augmenter
from stainproof.config.recipes import RECIPES, Recipe
from stainproof.config.schema import Config
from stainproof.data.dataset import Dataset
from stainproof.data.images import Images
from stainproof.models.preprocessing import to_tensor
from stainproof.runs.history import EpochRecord
from stainproof.training.compute import Compute

VALIDATION_EPOCH = 0
"""Epoch number of the augmentation of the validation set; training counts from 1."""
BATCH_SIZE = 128


@dataclass(frozen=True)
class Validation:
    """Cross-entropy and accuracy on the validation split; fields of an `EpochRecord`."""

    val_loss: float
    val_accuracy: float
    val_augmented_loss: float | None = None
    """On the augmented validation set; None if there is none, like the next field."""
    val_augmented_accuracy: float | None = None


def selection_loss(validation: Validation | EpochRecord) -> float:
    """Return the validation loss that controls training: the augmented one if there is one."""
    augmented = validation.val_augmented_loss
    return validation.val_loss if augmented is None else augmented


def selection_accuracy(validation: Validation | EpochRecord) -> float:
    """Return the validation accuracy that selects the best epoch.

    It is that of the augmented validation set where there is one.
    """
    augmented = validation.val_augmented_accuracy
    return validation.val_accuracy if augmented is None else augmented


def augment_validation(images: Images, config: Config) -> Images | None:
    """Return the augmented validation set of a run; None if it does not validate on one.

    Args:
        images: Its validation images, uint8 (n, size, size, 3).
        config: Its settings; the same seed gives the same images.
    """
    if config.augment.validation == "none":
        return None
    recipe = Recipe.model_validate(RECIPES[config.augment.validation])
    augmenter = Augmenter(images, recipe, config.seed)
    return augmenter.batch(np.arange(len(images)), VALIDATION_EPOCH)


class Validator:
    """Evaluates weights on fixed images, so that epochs can be compared."""

    def __init__(
        self,
        config: Config,
        network: nn.Module,
        val: Dataset,
        device: torch.device,
        compute: Compute,
    ):
        """Prepare the validation images.

        Args:
            config: All settings.
            network: It is copied, not modified.
            val: The validation images.
            device: Device of the network.
            compute: Its precision is that of a forward pass, as in training: in bfloat16 it takes
                about half the time.
        """
        self.compute = compute
        self.preprocessing = config.preprocessing
        self.device = device
        self.network = copy.deepcopy(network).eval()
        self.labels = torch.from_numpy(val.labels)
        self.worlds: list[Images] = [val.images]
        augmented = augment_validation(val.images, config)
        if augmented is not None:
            self.worlds.append(augmented)

    @torch.no_grad()
    def __call__(self, state: dict[str, Tensor]) -> Validation:
        """Evaluate weights on the validation images and the augmented validation set, if any."""
        self.network.load_state_dict(state)
        return Validation(*chain.from_iterable(map(self._measure, self.worlds)))

    def _measure(self, images: Images) -> tuple[float, float]:
        batches = np.array_split(images, -(-len(images) // BATCH_SIZE))
        logits = torch.cat([self._logits(batch) for batch in batches])
        right = (logits.argmax(1) == self.labels).float().mean()
        return float(F.cross_entropy(logits, self.labels)), float(right)

    def _logits(self, images: Images) -> Tensor:
        """Return the float32 logits of a batch."""
        x_bchw = to_tensor(torch.from_numpy(images).to(self.device), self.preprocessing)
        with self.compute.autocast(self.device):
            logits: Tensor = self.network(x_bchw)
        return logits.float().cpu()
