"""A trained classifier whose answers a new network learns to give."""

from collections.abc import Sequence

from stainproof.augment.mix import Targets
from stainproof.data.images import Images
from stainproof.errors import CheckpointError, ConfigError
from stainproof.models.predictor import Classifier


def open_teacher(folder: str, threads: int | None = None) -> Classifier:
    """Return the classifier of a folder.

    Raises:
        ConfigError: It holds none that can be used.
    """
    try:
        return Classifier.load(folder, threads=threads)
    except CheckpointError as error:
        raise ConfigError(f"training.teacher: {error}") from error


class Teacher:
    """Mixes its answers for the very images of a step into their labels.

    Distillation (Hinton et al. 2015) with the same view of an image for both (Beyer et al. 2022,
    "A good teacher is patient and consistent").
    """

    def __init__(self, folder: str, share: float, classes: Sequence[str], threads: int):
        """Open the teacher.

        Args:
            folder: Of a run or an ensemble.
            share: Of its answers in the targets, 0 to 1; the label has the rest.
            classes: Order of the targets.
            threads: That it may answer with.

        Raises:
            ConfigError: The folder holds no usable classifier, or one of other classes.
        """
        self.classifier = open_teacher(folder, threads)
        if set(self.classifier.classes) != set(classes):
            raise ConfigError(
                f"training.teacher: {folder} knows {', '.join(self.classifier.classes)}; "
                f"the images have {', '.join(classes)}"
            )
        self.order = [self.classifier.classes.index(name) for name in classes]
        self.share = share

    def __call__(self, images: Images, targets: Targets) -> Targets:
        """Return the targets, float32 (b, classes), with the teacher's answers mixed in."""
        probs = self.classifier.predict_proba(images)[:, self.order]
        mixed: Targets = self.share * probs + (1 - self.share) * targets
        return mixed
