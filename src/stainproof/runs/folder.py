"""A run folder: what it contains, and the only code that writes to it.

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
    examples/            a few training images of every class
    audit/               the audit of the training images, if there was one
    home/                evaluations on the run's own validation and test split
    evaluations/         evaluations on other sources, one folder each
    report.html          the report

The names of these files are defined in this module only.
"""

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stainproof import files
from stainproof.config.parsing import make_settings, read_toml
from stainproof.config.schema import Config
from stainproof.errors import CheckpointError, ConfigError, DataError
from stainproof.files import check_writable
from stainproof.runs.card import Card
from stainproof.runs.history import EpochRecord
from stainproof.runs.upgrade import upgrade_config, upgrade_record

if TYPE_CHECKING:
    from torch import Tensor

HOME_SOURCES = {"val": "validation", "test": "home test"}
"""Split -> name of an evaluation on the images that training held out."""
RUNNING, INTERRUPTED = "running", "interrupted"
"""Values of a card's `stopped` while a training has not ended by itself."""
IN_TRAINING = "another process is training in this folder"


class RunFolder:
    """The files of one run. Every write is atomic."""

    def __init__(self, path: str | Path):
        """Name a run folder, which may not exist yet."""
        self.path = Path(path)
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
        self.audit = self.path / "audit"
        self.examples = self.path / "examples"
        self.home = self.path / "home"
        self.evaluations = self.path / "evaluations"
        self.report = self.path / "report.html"
        self.lock = self.path / ".training.lock"

    def __str__(self) -> str:
        return str(self.path)

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
        from filelock import FileLock, Timeout

        check_writable(self.lock)
        lock = FileLock(self.lock)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ConfigError(f"{self}: {IN_TRAINING}; choose another --out") from None
        try:
            files.clear_parts(self.path)
            yield
        finally:
            lock.release()
            self.lock.unlink(missing_ok=True)
            if not any(self.path.iterdir()):
                self.path.rmdir()

    def check_not_in_training(self) -> None:
        """Raise an error if a training is writing to the folder.

        Raises:
            CheckpointError: Another process holds the lock.
        """
        from filelock import FileLock, Timeout

        if not self.lock.exists():
            return
        try:
            with suppress(OSError), FileLock(self.lock).acquire(timeout=0.2):
                pass
        except Timeout:
            raise CheckpointError(f"{self}: {IN_TRAINING}; wait until it has ended") from None

    def check_split(self, sha256: str) -> None:
        """Raise an error if the run was started with other images or another split.

        Args:
            sha256: Hash of the split's CSV text, as `Split.sha256` gives it.

        Raises:
            CheckpointError: The hash of `splits.csv` is another one, or the file is missing.
        """
        if not self.splits.exists() or files.sha256_of(self.splits) != sha256:
            raise CheckpointError(
                f"{self.splits}: the run was begun on other images or another split"
            )

    def read_card(self) -> Card:
        """Read the card.

        Raises:
            CheckpointError: The card is missing, damaged or of an incompatible version.
        """
        return Card.read(self.card)

    def write_card(self, card: Card) -> None:
        """Write the card."""
        card.write(self.card)

    def read_config(self) -> Config:
        """Read the settings of the training.

        Raises:
            ConfigError: The file is missing, damaged or has unknown settings.
        """
        tree = upgrade_config(read_toml(self.config))
        return make_settings(Config, tree, f"{self.config}: setting")

    def read_resumed_config(self) -> Config:
        """Read the settings of a training that is to be continued.

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
        return self.read_config()

    def write_config(self, config: Config) -> None:
        """Write the settings of the training."""
        files.write_text(self.config, config.to_toml())

    def read_history(self) -> list[EpochRecord]:
        """Read the history; an empty list if there is none.

        Raises:
            CheckpointError: The file is damaged.
        """
        if not self.history.exists():
            return []
        try:
            lines = self.history.read_text(encoding="utf-8").splitlines()
            return [EpochRecord.model_validate(upgrade_record(json.loads(line))) for line in lines]
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            raise CheckpointError(f"{self.history}: damaged; not one epoch a line") from error

    def write_history(self, records: Iterable[EpochRecord]) -> None:
        """Write the history."""
        lines = [f"{record.model_dump_json()}\n" for record in records]
        files.write_text(self.history, "".join(lines))

    def write_splits(self, content: bytes) -> None:
        """Write the split of every image."""
        files.write_bytes(self.splits, content)

    def read_training_hashes(self) -> NDArray[np.uint64] | None:
        """Read the hashes of the training images; None if there are none, as in older runs.

        Returns:
            uint64 (N,), ascending; see `data.copies.canonical_hashes`.

        Raises:
            CheckpointError: The file is damaged.
        """
        if not self.training_hashes.exists():
            return None
        try:
            hashes = np.load(self.training_hashes, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise CheckpointError(f"{self.training_hashes}: damaged; not a NumPy file") from error
        if not isinstance(hashes, np.ndarray) or hashes.dtype != np.uint64 or hashes.ndim != 1:
            raise CheckpointError(f"{self.training_hashes}: damaged; not one uint64 an image")
        return hashes

    def write_training_hashes(self, hashes: NDArray[np.uint64]) -> None:
        """Write the hashes of the training images, uint64 (N,)."""
        content = io.BytesIO()
        np.save(content, np.unique(hashes), allow_pickle=False)
        files.write_bytes(self.training_hashes, content.getvalue())

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
        with files.atomic_path(path) as part:
            try:
                save_file(contents, part, metadata=metadata or None)
            except SafetensorError as error:
                raise DataError(f"{path}: cannot be written ({error})") from error

    def write_onnx(self, model: bytes) -> str:
        """Write `best.onnx` and return its SHA-256."""
        files.write_bytes(self.onnx, model)
        return files.sha256_of(self.onnx)

    def write_int8(self, model: bytes) -> str:
        """Write `best.int8.onnx` and return its SHA-256."""
        files.write_bytes(self.int8, model)
        return files.sha256_of(self.int8)

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
            DataError: One of the files is a link.
        """
        records = (other.config, other.splits, other.training_hashes, other.history)
        audit = other.audit / "audit.csv"
        for file in (*records, audit, *sorted(other.examples.glob("*/*.png"))):
            if file.exists():
                files.check_own(file, other.path)
                files.write_bytes(self.path / file.relative_to(other.path), file.read_bytes())
