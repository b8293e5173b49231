"""Distillation: a network learns the predictions of a teacher beside the labels."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stainproof.augment.mixing import Targets
from stainproof.config.schema import TrainingConfig
from stainproof.data.images import Images
from stainproof.errors import ConfigError


class Predictor(Protocol):
    """A trained classifier, as `Classifier` is one."""

    classes: tuple[str, ...]

    @property
    def weights_sha256(self) -> str:
        """Return the hash of its weights."""

    def predict_proba(self, images: Images) -> NDArray[np.float32]:
        """Map uint8 (b, height, width, 3) to probabilities (b, classes)."""


class Teacher:
    """Mixes the teacher's predictions for the images of a step into their labels.

    Distillation (Hinton et al. 2015) in which teacher and student see the same augmented image
    (Beyer et al. 2022, "Knowledge distillation: a good teacher is patient and consistent").
    """

    def __init__(self, model: Predictor, settings: TrainingConfig, classes: Sequence[str]):
        """Prepare the teacher.

        Args:
            model: The trained classifier.
            settings: `distillation_weight` is the weight of its predictions in the targets, 0 to 1;
                the label has the rest.
            classes: Class names in the order of the targets.

        Raises:
            ConfigError: The classifier was trained on other classes.
        """
        if set(model.classes) != set(classes):
            raise ConfigError(
                f"training.teacher: {settings.teacher} knows {', '.join(model.classes)}; "
                f"the images have {', '.join(classes)}"
            )
        self.model = model
        self.order = [model.classes.index(name) for name in classes]
        self.weight = settings.distillation_weight

    def __call__(self, images: Images, targets: Targets) -> Targets:
        """Return the targets, float32 (b, classes), with the teacher's predictions mixed in."""
        probs = self.model.predict_proba(images)[:, self.order]
        mixed: Targets = self.weight * probs + (1 - self.weight) * targets
        return mixed
