"""The classifier: trained networks with their preprocessing, from images to probabilities."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from stainproof.calibration.record import read_calibration
from stainproof.calibration.scaling import scale
from stainproof.config.schema import InferenceConfig, Preprocessing
from stainproof.data.dataset import Dataset
from stainproof.data.images import Images, Standardise, to_square
from stainproof.errors import CheckpointError, DataError
from stainproof.inference.features import FeatureExtractor
from stainproof.inference.frequency_filters import apply_filter
from stainproof.inference.inputs import ImageLike, as_rgb, rgb_batches
from stainproof.inference.member import Member, check_members, open_member
from stainproof.inference.tta import tta_views
from stainproof.inference.voting import vote
from stainproof.progress import Say, Track, silent, silent_say
from stainproof.runs.ensemble import Ensemble, is_ensemble
from stainproof.runs.folder import RunFolder
from stainproof.runs.shipped import find_run
from stainproof.shift.lab import Lab, read_lab, standardiser
from stainproof.shift.stored_lab import choose_lab

if TYPE_CHECKING:
    from stainproof.inference.explanation import ActivationMapper

BATCH_SIZE, CHUNK_SIZE = 64, 256


class Classifier:
    """A trained classifier of blood-cell images: one network or an ensemble.

    Example:
        >>> from stainproof import Classifier
        >>> classifier = Classifier.load("runs/first")
        >>> labels = classifier.predict(["new_cells/a.png", "new_cells/b.png"])
        >>> set(labels) <= set(classifier.classes)
        True
        >>> classifier.predict_proba("new_cells/a.png").shape  # images, classes
        (1, 8)
    """

    def __init__(
        self,
        members: Sequence[Member],
        inference: InferenceConfig | None = None,
        voting: str = "soft",
        ensemble_temperature: float = 1.0,
        lab: Lab | None = None,
        threads: int | None = None,
    ):
        """Combine networks; `load` is the usual constructor.

        The combined probabilities of several networks are calibrated by `ensemble_temperature`.

        Raises:
            CheckpointError: The networks have different classes or crop images in different ways.
        """
        self.members = tuple(members)
        self.inference = inference or InferenceConfig()
        self.voting = voting
        self.ensemble_temperature = ensemble_temperature
        self.lab = lab
        """Profile of the laboratory that took the images; None: they are not standardised."""
        self._threads = threads
        self._extractor: FeatureExtractor | None = None
        self.classes = self.members[0].card.classes
        """Class names in the order of the probabilities."""
        check_members(self.members)

    @classmethod
    def load(
        cls,
        run: str | Path,
        engine: str = "auto",
        inference: InferenceConfig | None = None,
        threads: int | None = None,
        lab: Lab | str | Path | None = None,
        *,
        calibrated: bool = True,
        say: Say = silent_say,
    ) -> Self:
        """Load the selected weights of a run or a shipped model, or of all runs of an ensemble.

        Args:
            run: The folder, or the name of a shipped model.
            engine: `onnxruntime`, `openvino` or `torch`, whose probabilities agree to 1e-4; `int8`,
                which `quantise` makes; `auto`: the run's own, which was the fastest after training,
                or ONNX Runtime if that one is not installed.
            inference: Test-time augmentation and filter; by default neither.
            threads: Number of threads; by default one per core. The engine `torch` uses the threads
                of the process.
            lab: A laboratory profile or its file, by which images are standardised first. It
                replaces the one that an ensemble contains; None: the ensemble's own.
            calibrated: Whether the calibration of the run is applied, if there is one.
            say: Called with a line if the ensemble contains a profile, or if the run was adapted
                with one and `lab` is None.

        Raises:
            CheckpointError: The folder is missing or incomplete, its weights were altered, or the
                profile cannot be read.
            ConfigError: The engine is unknown or not installed.
        """
        folder, lab = find_run(run), read_lab(lab)
        if not folder.is_dir():
            raise CheckpointError(f"{folder}: no such run folder")
        if not is_ensemble(folder):
            member = open_member(RunFolder(folder), engine, threads, calibrated)
            if member.card.adapted_lab and lab is None:
                say(
                    f"{folder}: adapted to images with a laboratory profile "
                    f"({member.card.adapted_lab}); give it with --lab for images of that laboratory"
                )
            return cls([member], inference, lab=lab, threads=threads)
        ensemble = Ensemble.of(folder)
        runs = map(RunFolder, ensemble.folders(folder))
        members = [open_member(one, engine, threads, calibrated) for one in runs]
        own = read_calibration(RunFolder(folder)) if calibrated else None
        lab = choose_lab(lab, ensemble, folder, say)
        temperature = own.temperature if own else 1.0
        return cls(members, inference, ensemble.voting, temperature, lab, threads)

    def __repr__(self) -> str:
        """Return run, engine, input size, classes, and settings of inference if there are any."""
        size_px = self.preprocessing.size_px
        names = [member.run.path.resolve().name for member in self.members]
        engines = dict.fromkeys(member.engine_name for member in self.members)
        facts = [
            f"{self.voting} voting" if len(names) > 1 else "",
            f"engine {', '.join(engines)}",
            f"input {size_px} x {size_px} px",
            self.inference.describe(),
            f"laboratory profile: {self.lab.describe()}" if self.lab else "",
            f"classes {', '.join(self.classes)}",
        ]
        return f"<Classifier {' + '.join(names)}: {'; '.join(filter(None, facts))}>"

    @property
    def preprocessing(self) -> Preprocessing:
        """Preprocessing of the member with the largest input size."""
        return max(
            (member.card.preprocessing for member in self.members), key=lambda one: one.size_px
        )

    @property
    def temperature(self) -> float:
        """Temperature of the last step of calibration: the run's, or that of the whole ensemble.

        `calibration.scaling.scale(probs, 1 / temperature)` reverses this step.
        """
        return self.members[0].temperature if len(self.members) == 1 else self.ensemble_temperature

    @property
    def weights_sha256(self) -> str:
        """Hash of the weights: the card's own, or a hash over all members'."""
        own = [member.card.weights_sha256 for member in self.members]
        return own[0] if len(own) == 1 else hashlib.sha256("".join(own).encode()).hexdigest()

    def predict_proba(self, images: ImageLike | Sequence[ImageLike]) -> NDArray[np.float32]:
        """Return the probability of every class for every image.

        Args:
            images: One image, or a list of images of any sizes and kinds. An image is the path of a
                file (str or Path), a Pillow image, or an array with values 0 to 255: uint8 (height,
                width, 3) with channels in the order red, green, blue, or uint8 (height, width)
                grey. A batch uint8 (N, height, width, 3) counts as a list. Images are standardised
                by the laboratory profile, if there is one, then cropped and resized as the
                preprocessing says. OpenCV reads blue, green, red: give it `bgr[..., ::-1]`. 16-bit
                files of a list are scaled by the bits that the values of all of them use.

        Returns:
            float32 (N, classes), rows sum to 1, columns in the order of `classes`; N is 1 for one
            image. Under hard voting: (votes + mean probability) / (networks + 1), so the mean
            breaks ties.

        Raises:
            DataError: An image is of another kind, type or shape, a file cannot be read, or a list
                is empty.
        """
        probs = [np.empty((0, len(self.classes)), dtype=np.float32)]
        for batch in rgb_batches(images, BATCH_SIZE):
            probs.append(self.predict_standardised([self.standardise(rgb) for rgb in batch]))
        return np.concatenate(probs)

    @property
    def standardise(self) -> Standardise:
        """The function that standardises an image by the laboratory profile, if there is one."""
        return standardiser(self.lab)

    def predict_standardised(self, images: Images | Sequence[Images]) -> NDArray[np.float32]:
        """Return the probabilities of images to which `standardise` was already applied.

        Args:
            images: One or more, each uint8 (height, width, 3).

        Returns:
            float32 (N, classes), as `predict_proba`.
        """
        starts = range(0, len(images), BATCH_SIZE)
        return np.concatenate([self._vote(images[start : start + BATCH_SIZE]) for start in starts])

    def predict(self, images: ImageLike | Sequence[ImageLike]) -> list[str]:
        """Return the name of the most probable class for every image.

        Args:
            images: As in `predict_proba`.

        Returns:
            N names in `classes`; one name in a list for one image.

        Raises:
            DataError: As in `predict_proba`.
        """
        return [self.classes[index] for index in self.predict_proba(images).argmax(axis=1)]

    def explain(self, image: ImageLike, target: str | None = None) -> NDArray[np.float32]:
        """Return how much each pixel of an image supports a class (Layer-CAM).

        The map is computed with PyTorch from the weights, whatever the engine, for the image as it
        is, without test-time augmentation; for an ensemble it is the mean of the networks' maps. It
        shows where the evidence of the network lies, at the resolution of its last feature map; it
        does not prove that the prediction is right.

        Args:
            image: One image, as in `predict_proba`.
            target: Name of the class; by default the most probable one.

        Returns:
            float32 (height, width) of the image, standardised if there is a laboratory profile, 0
            to 1. The largest value is 1, or all are 0 if nothing supports the class. Pixels that
            preprocessing crops away are 0.

        Raises:
            DataError: As in `predict_proba`, or the class is unknown.
            ConfigError: A network has no feature maps, as transformers of timm.
            CheckpointError: The weights are missing or were altered.
        """
        rgb = self.standardise(as_rgb(image, 0))
        index = int(self.predict_standardised([rgb]).argmax())
        name = self.classes[index] if target is None else target
        if name not in self.classes:
            raise DataError(f"target {name!r} is unknown; allowed: {', '.join(self.classes)}")
        return self.explain_standardised([rgb], [name])[0]

    def explain_standardised(
        self, batch: Sequence[Images], targets: Sequence[str]
    ) -> list[NDArray[np.float32]]:
        """Return the maps of images to which `standardise` was already applied.

        Args:
            batch: N images, each uint8 (height, width, 3).
            targets: N names in `classes`.

        Returns:
            N maps, as `explain`.
        """
        from stainproof.inference.explanation import mean_maps

        return mean_maps(self.members, self.mappers, self.inference, batch, targets)

    @cached_property
    def mappers(self) -> "list[ActivationMapper]":
        """The networks of all members in PyTorch, loaded when they are first needed."""
        from stainproof.inference.explanation import open_mapper

        return [open_mapper(one.run, one.card) for one in self.members]

    def predict_dataset(self, data: Dataset, track: Track = silent) -> NDArray[np.float32]:
        """Return probabilities float32 (N, classes) for a whole data set, with progress.

        Args:
            data: Images that were standardised while they were read.
            track: Shows progress.
        """
        starts = range(0, len(data), CHUNK_SIZE)
        chunks = track(starts, f"evaluating {data.source}", len(starts))
        return np.concatenate(
            [self.predict_standardised(data.images[start : start + CHUNK_SIZE]) for start in chunks]
        )

    def features(self, images: ImageLike | Sequence[ImageLike]) -> NDArray[np.float32]:
        """Return the penultimate features of every image: the input of the last linear layer.

        They are computed with ONNX Runtime from the run's ONNX model, without PyTorch.

        Args:
            images: As in `predict_proba`. Test-time augmentation and filter are not applied.

        Returns:
            float32 (N, d).

        Raises:
            DataError: As in `predict_proba`.
            CheckpointError: The classifier is an ensemble, or its ONNX model is missing or does not
                end with a linear layer.
        """
        extractor = self.extractor
        found = [np.empty((0, extractor.weight.shape[1]), dtype=np.float32)]
        for batch in rgb_batches(images, BATCH_SIZE):
            squares = [to_square(self.standardise(rgb), self.preprocessing) for rgb in batch]
            found.append(extractor(np.stack(squares)))
        return np.concatenate(found)

    @property
    def extractor(self) -> FeatureExtractor:
        """The network without its last linear layer, and that layer's weights.

        Raises:
            CheckpointError: As `features`.
        """
        if self._extractor is None:
            if len(self.members) > 1:
                raise CheckpointError(
                    f"{self.members[0].run}: one of several networks of an ensemble, which has no "
                    "features; use one of its runs"
                )
            (member,) = self.members
            self._extractor = FeatureExtractor(member.run, member.card, self._threads)
        return self._extractor

    def _vote(self, batch: Images | Sequence[Images]) -> NDArray[np.float32]:
        """Return the combined probabilities of all members for a few images."""
        votes = [self._member_proba(one, batch) for one in self.members]
        return scale(vote(votes, self.voting), self.ensemble_temperature)

    def _member_proba(
        self, member: Member, batch: Images | Sequence[Images]
    ) -> NDArray[np.float32]:
        """Return a member's probabilities in the order of `classes`."""
        preprocessing, how = member.card.preprocessing, self.inference
        squares = np.stack([to_square(rgb, preprocessing) for rgb in batch])
        squares = apply_filter(squares, how.filter, how.cutoff)
        views = [member.proba(view) for view in tta_views(squares, how.tta)]
        mean: NDArray[np.float32] = np.mean(views, axis=0, dtype=np.float32)
        probs = scale(mean, member.temperature)
        return probs[:, [member.card.classes.index(name) for name in self.classes]]
