"""A run folder: what it contains, and the only code that writes to it.

    manifest.json        SHA-256 of the files below up to calibration.json, see `runs.manifest`
    card.json            classes, preprocessing, network, training data, hashes of the weights
    config.toml          all settings of the training
    history.jsonl        one record per epoch
    splits.csv           the split of every image: train, val or test
    training_hashes.npy  hashes of the training images, equal for rotated and mirrored copies
    best.safetensors     weights of the selected epoch
    last.safetensors     weights of the last epoch
    state.safetensors    optimizer and schedule state, to resume from
    epochs/              weights of every epoch, if `training.keep_every_epoch` is set
    best.onnx            the selected weights as ONNX, batch normalisation folded
    best.int8.onnx       the same in 8 bits, if `quantise` kept it
    calibration.json     temperature of the probabilities, and what abstention needs
    reference.safetensors.gz   features of held-out cells, for `check` and `adapt`
    examples/            a few training images of every class
    audit/               the audit of the training images, if there was one
    adaptation.json      how `adapt` made the run, if it did
    home/                evaluations on the run's own validation and test split
    evaluations/         evaluations on other sources, one folder each
    report.html          the report

The names of these files are defined in this module only.

The card is written last of an epoch and names its weights by their SHA-256. Weights that the card
on disk names are kept as `best.previous.safetensors` until the card names others, so readers find
card and weights of one epoch at any time, also after the writer was killed.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stainproof import files
from stainproof.config.parsing import make_settings, parse_toml, read_toml
from stainproof.config.schema import Config
from stainproof.errors import CheckpointError, ConfigError, DataError
from stainproof.runs import lock
from stainproof.runs.card import Card
from stainproof.runs.hashes import hashes_as_npy, parse_hashes
from stainproof.runs.history import EpochRecord, parse_history
from stainproof.runs.manifest import MAX_MODEL_BYTES, HashedFolder, hash_of
from stainproof.runs.named import keep_previous, previous_of, read_named
from stainproof.runs.upgrade import upgrade_config

if TYPE_CHECKING:
    from torch import Tensor

HOME_SOURCES = {"val": "validation", "test": "home test"}
"""Split -> name of an evaluation on the images that training held out."""
RUNNING, INTERRUPTED = "running", "interrupted"
"""Values of a card's `stopped` while a training has not ended by itself."""


class RunFolder(HashedFolder):
    """The files of one run. Every write is atomic."""

    def __init__(self, path: str | Path):
        """Name a run folder, which may not exist yet."""
        super().__init__(path)
        self.card = self.path / "card.json"
        self.config = self.path / "config.toml"
        self.history = self.path / "history.jsonl"
        self.splits = self.path / "splits.csv"
        self.training_hashes = self.path / "training_hashes.npy"
        self.best = self.path / "best.safetensors"
        self.last = self.path / "last.safetensors"
        self.state = self.path / "state.safetensors"
        self.onnx = self.path / "best.onnx"
        self.int8 = self.path / "best.int8.onnx"
        self.calibration = self.path / "calibration.json"
        self.reference = self.path / "reference.safetensors.gz"
        self.audit = self.path / "audit"
        self.examples = self.path / "examples"
        self.home = self.path / "home"
        self.evaluations = self.path / "evaluations"
        self.report = self.path / "report.html"
        self.lock = self.path / ".training.lock"

    def check_exists(self) -> None:
        """Raise an error if there is no such folder.

        Raises:
            CheckpointError: The folder does not exist.
        """
        if not self.path.is_dir():
            raise CheckpointError(f"{self}: no such run folder")

    def check_unused(self) -> None:
        """Raise an error if a new run would overwrite an existing one.

        Raises:
            ConfigError: The folder contains a run, or is a file.
        """
        if self.path.is_file():
            raise ConfigError(f"{self}: is a file; --out names the folder to make")
        if self.state.exists():
            raise ConfigError(f"{self}: already holds a run; add --resume, or choose another --out")
        if self.card.exists():
            raise ConfigError(f"{self}: already holds a run; choose another --out")
        if self.config.exists():
            raise ConfigError(
                f"{self}: holds the settings of a run that finished no epoch; remove it, or choose "
                "another --out"
            )

    def has_begun(self) -> bool:
        """Return whether a training began here and can go on: after its last epoch, or anew.

        A training that has a state goes on after its last epoch until its report is written. One
        that was stopped in its first epoch has no state and begins anew.
        """
        if not self.config.exists() or self.is_finished():
            return False
        if self.state.exists() or not self.card.exists():
            return True
        card = self.read_card()
        return card.num_epochs == 1 and card.stopped in (RUNNING, INTERRUPTED) and not card.mean_of

    def is_finished(self) -> bool:
        """Return whether training ended by itself, and its ONNX model and report are written."""
        if not self.card.exists() or not self.report.exists():
            return False
        card = self.read_card()
        return bool(card.onnx_sha256) and card.stopped not in (RUNNING, INTERRUPTED)

    @contextmanager
    def training_lock(self) -> Iterator[None]:
        """Hold the lock of the only process that may train in this folder.

        The operating system releases it when the process ends, also after a crash. A folder that
        is empty at the end is removed.

        Raises:
            ConfigError: Another process holds it.
            DataError: The folder cannot be written to.
        """
        with lock.hold(self.path, self.lock):
            yield

    def check_not_in_training(self) -> None:
        """Raise an error if a training is writing to the folder.

        Raises:
            CheckpointError: Another process holds the lock.
        """
        lock.check_free(self.path, self.lock)

    def check_split(self, sha256: str, data_sha256: str = "") -> None:
        """Raise an error if the run was started with other images or another split.

        Args:
            sha256: Hash of the split's CSV text, as `Split.sha256` gives it.
            data_sha256: Hash of the images, as `Dataset.sha256` gives it; empty: not compared.

        Raises:
            CheckpointError: `splits.csv` or the images of the card have another hash, or
                `splits.csv` is missing.
        """
        if not self.splits.exists() or hash_of(self.splits) != sha256:
            raise CheckpointError(
                f"{self.splits}: the run was begun on other images or another split"
            )
        if data_sha256 and self.card.exists() and self.read_card().data.sha256 != data_sha256:
            raise CheckpointError(f"{self.card}: the run was begun on other images")

    def read_card(self) -> Card:
        """Read the card.

        Raises:
            CheckpointError: The card is missing, damaged, altered or of an incompatible version.
        """
        return Card.parse(self.read(self.card), self.card)

    def write_card(self, card: Card) -> None:
        """Write the card, and remove the weights that only the previous card named."""
        self.put_bytes(self.card, card.to_json())
        for path in self._named_by_card():
            previous_of(path).unlink(missing_ok=True)
        self.settle()

    def read_config(self) -> Config:
        """Read the settings of the training.

        Raises:
            ConfigError: The file is damaged or has unknown settings.
            CheckpointError: The file is missing or was altered.
        """
        return self._make_config(parse_toml(self.read(self.config), self.config))

    def _make_config(self, tree: dict[str, Any]) -> Config:
        try:
            tree = upgrade_config(tree)
        except (AttributeError, TypeError) as error:  # a value where version 2 has a group
            raise ConfigError(f"{self.config}: not the settings of a training") from error
        return make_settings(Config, tree, f"{self.config}: setting")

    def read_resumed_config(self) -> Config:
        """Read the settings of a training that is to be continued; a user may have edited them.

        Raises:
            CheckpointError: The folder has no state to continue from.
            ConfigError: The settings are damaged or unknown.
        """
        for file in (self.config, self.state):
            if not file.exists():
                advice = "; without --resume it begins anew" if self.has_begun() else ""
                raise CheckpointError(
                    f"{self}: no {file.name} in it; there is nothing to resume{advice}"
                )
        return self._make_config(read_toml(self.config))

    def write_config(self, config: Config) -> None:
        """Write the settings of the training."""
        self.put_bytes(self.config, config.to_toml().encode())

    def read_history(self) -> list[EpochRecord]:
        """Read the history; an empty list if there is none.

        Raises:
            CheckpointError: The file is damaged or was altered.
        """
        if not self.history.exists():
            return []
        return parse_history(self.read(self.history), self.history)

    def write_history(self, records: Iterable[EpochRecord]) -> None:
        """Write the history."""
        lines = [f"{record.model_dump_json()}\n" for record in records]
        self.put_bytes(self.history, "".join(lines).encode())

    def write_splits(self, content: bytes) -> None:
        """Write the split of every image."""
        self.put_bytes(self.splits, content)

    def read_training_hashes(self) -> NDArray[np.uint64] | None:
        """Read the hashes of the training images; None if there are none, as in older runs.

        Returns:
            uint64 (N,), ascending; see `data.copies.canonical_hashes`.

        Raises:
            CheckpointError: The file is damaged or was altered.
        """
        if not self.training_hashes.exists():
            return None
        return parse_hashes(self.read(self.training_hashes, MAX_MODEL_BYTES), self.training_hashes)

    def write_training_hashes(self, hashes: NDArray[np.uint64]) -> None:
        """Write the hashes of the training images, uint64 (N,)."""
        self.put_bytes(self.training_hashes, hashes_as_npy(hashes))

    def write_reference(self, content: bytes) -> None:
        """Write the reference of held-out cells, see `deployment.reference`."""
        self.put_bytes(self.reference, content)

    def epoch(self, epoch: int) -> Path:
        """Return the path of the weights of one epoch, counted from 1."""
        return self.path / "epochs" / f"{epoch:04d}.safetensors"

    def write_weights(self, path: Path, weights: "Mapping[str, Tensor]", **metadata: str) -> None:
        """Write weights as safetensors.

        Args:
            path: One of this folder's files: `best`, `last`, `state` or `epoch(n)`.
            weights: Tensors by name.
            metadata: Texts stored in the header.

        Raises:
            DataError: The file cannot be written.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        contents = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
        self._keep_named(path)

        def write(part: Path) -> None:
            try:
                save_file(contents, part, metadata=metadata or None)
            except SafetensorError as error:
                raise DataError(f"{path}: cannot be written ({error})") from error

        self.put(path, write)

    def write_model(self, path: Path, model: bytes) -> str:
        """Write a file that the card names, `onnx`, `int8` or `calibration`; return its SHA-256."""
        self._keep_named(path)
        return self.put_bytes(path, model)

    def read_named(self, path: Path, sha256: str) -> bytes:
        """Read weights or a model that the card names.

        Args:
            path: `best`, `onnx`, `int8` or `calibration`.
            sha256: The SHA-256 in the card.

        Raises:
            CheckpointError: The file is missing or too large, or has another hash.
        """
        return read_named(path, sha256)

    def _keep_named(self, path: Path) -> None:
        """Keep the version on disk of weights or a model if the card names it."""
        if path not in self._named_by_card() or not path.is_file():
            return
        try:
            card = self.read_card()
        except CheckpointError:  # no card names anything
            return
        keep_previous(
            path,
            (card.weights_sha256, card.onnx_sha256, card.int8_sha256, card.calibration_sha256),
        )

    def _named_by_card(self) -> tuple[Path, ...]:
        """Return the files that the card names by their SHA-256."""
        return self.best, self.onnx, self.int8, self.calibration

    def write_example(self, class_name: str, rank: int, rgb: NDArray[np.uint8]) -> None:
        """Write one training image, uint8 (height, width, 3), for the report."""
        files.write_picture(self.examples / class_name / f"{rank}.png", rgb)

    def write_report(self, html: str) -> Path:
        """Write the report and return its path."""
        files.write_text(self.report, html)
        return self.report

    def evaluation_folders(self) -> list[Path]:
        """Return the folders of all evaluations: the run's own validation and test split first."""
        folders = [self.home / split for split in HOME_SOURCES]
        return [path for path in (*folders, *sorted(self.evaluations.glob("*"))) if path.is_dir()]

    def copy_training_record(self, other: "RunFolder") -> None:
        """Copy settings, split, hashes, history, audit and examples of another run.

        Raises:
            CheckpointError: One of the files was altered or is a link.
            DataError: A picture or the audit is a link.
        """
        self.copy_files(other, other.config, other.splits, other.training_hashes, other.history)
        for file in (other.audit / "audit.csv", *sorted(other.examples.glob("*/*.png"))):
            if file.exists():
                files.check_own(file, other.path)
                files.write_bytes(self.path / file.relative_to(other.path), file.read_bytes())
