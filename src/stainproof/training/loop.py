"""The training loop: train an epoch, validate, save, until a stopping criterion is met."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from stainproof.config.schema import Config
from stainproof.data.dataset import Dataset
from stainproof.data.images import Images
from stainproof.errors import CheckpointError, ConfigError
from stainproof.models.backbones import freeze, set_training_mode
from stainproof.models.fine_tuning import load_start
from stainproof.models.network import build_network
from stainproof.models.preprocessing import to_tensor
from stainproof.models.pretrained import load_pretrained
from stainproof.runs.folder import INTERRUPTED, RUNNING, RunFolder
from stainproof.runs.history import EpochRecord
from stainproof.training import checkpoint, compute
from stainproof.training.batches import Batch, Batches
from stainproof.training.distillation import Predictor, Teacher
from stainproof.training.distributed import agree, num_processes, parallel, rank, synchronised
from stainproof.training.ema import MovingAverage
from stainproof.training.interrupts import Interrupt, deferred_interrupts
from stainproof.training.losses import jensen_shannon_divergence
from stainproof.training.optimizers import make_optimizer
from stainproof.training.progressive_resizing import size_px
from stainproof.training.schedule import Schedule
from stainproof.training.validation import Validator, selection_accuracy, selection_loss


@dataclass(frozen=True)
class Step:
    """Progress of a training after one step."""

    epoch: int
    done: float
    """Fraction of the run that is complete, 0 to 1."""
    loss: float
    accuracy: float
    learning_rate: float
    images_per_s: float
    elapsed_s: float


@dataclass(frozen=True)
class TrainingResult:
    """State or result of a training."""

    best: EpochRecord
    """The epoch whose weights are kept."""
    num_epochs: int
    stopped: str
    """Why training ended; `running` during training."""
    compute: compute.Compute
    pretrained_sha256: str
    """Hash of the pretrained weights; empty if the initial weights were random."""
    teacher_sha256: str
    """Hash of the teacher's weights; empty without a teacher."""


class Trainer:
    """Trains one network and writes its weights and history into a run folder.

    After every epoch `best.safetensors`, `last.safetensors`, `state.safetensors` and
    `history.jsonl` are complete on disk. The same settings, images, machine, threads and precision
    give the same weights, unless a time budget determines the number of steps. In a process group
    of torch.distributed each process trains on its share of every batch, see
    `training.distributed`.
    """

    def __init__(
        self,
        config: Config,
        train: Dataset,
        val: Dataset,
        run: RunFolder,
        *,
        resume: bool = False,
        load_teacher: Callable[[int], Predictor] | None = None,
    ):
        """Build the network, or restore a saved state.

        Args:
            config: All settings.
            train: Training images.
            val: Validation images, for early stopping, the schedule and the choice of the best
                epoch.
            run: The run folder.
            resume: Whether to resume from `state.safetensors` in it.
            load_teacher: Loads the classifier of `training.teacher`, given a number of threads;
                None if there is no teacher.

        Raises:
            CheckpointError: There is nothing to resume, or it does not fit the settings or the
                teacher.
            ConfigError: The network cannot be built, the device is not available, or the teacher
                cannot be used.
        """
        self.config, self.settings, self.run = config, config.training, run
        self.device = compute.choose_device(self.settings.device)
        self.network = build_network(config, len(train.classes))
        self.now = checkpoint.Position()
        if not resume:
            self.now.pretrained_sha256 = self._load_initial_weights(train.classes)
        freeze(self.network, self.settings)
        self.network = synchronised(self.network, self.device).to(self.device)
        self.optimizer = make_optimizer(self.network, self.settings)
        self.schedule = Schedule(self.optimizer, self.settings)
        decay = self.settings.ema_decay
        self.average = MovingAverage(self.network, decay) if decay else None
        if resume:
            self.now = checkpoint.read_position(run.state)
            checkpoint.restore_state(
                run.state, self.network, self.optimizer, self.schedule, self.average
            )
            self._keep_best()
        self.compute = compute.choose_compute(
            self.network, self._input(train.images[:16]), self.settings, self.now.compute
        )
        self.now.compute = self.compute = agree(self.compute)
        self.now.settings = config.model_dump(mode="json", exclude_none=True)
        self.scaler = self.compute.scaler(self.device)
        if self.now.scaler:
            self.scaler.load_state_dict(self.now.scaler)
        self.model = parallel(self.network)
        self.batches = Batches(train, config, rank(), num_processes())
        self.validator = Validator(config, self.network, val, self.device, self.compute)
        self.teacher: Teacher | None = None
        if load_teacher:
            model = load_teacher(self.compute.threads)
            self.teacher = Teacher(model, self.settings, train.classes)
            self._check_teacher(model.weights_sha256)
        self.history = run.read_history()[: self.now.epoch] if resume else []
        self.began = time.monotonic() - self.now.elapsed_s
        self.reserve_s = 0.05 * (self.settings.budget_s or 0.0)
        self.interrupt = Interrupt()
        self.diverged = False
        self.augmented_s = 0.0
        """Processor seconds of augmentation before this epoch."""

    def train(
        self,
        on_step: Callable[[Step], None] = lambda step: None,
        on_epoch: Callable[[TrainingResult], object] = lambda outcome: None,
    ) -> TrainingResult:
        """Train until the epochs, the patience or the time are used up, or until an interrupt.

        Args:
            on_step: Called after every step.
            on_epoch: Called after every epoch, when its files are written.

        Raises:
            ConfigError: The loss became NaN or infinite before the first epoch was complete.
        """
        with deferred_interrupts() as self.interrupt:
            while not (stopped := agree(self._reason_to_stop())):
                loss, accuracy, images_per_s = self._learn(on_step)
                if agree(self.interrupt.noted) and self.now.best:
                    continue
                record = agree(self._validate(loss, accuracy, images_per_s))
                if not record.is_finite():
                    self._end_diverged()
                    continue
                self._keep(record)
                on_epoch(self._outcome(RUNNING))
            return self._outcome(stopped)

    def _load_initial_weights(self, classes: Sequence[str]) -> str:
        """Load pretrained weights or those of a trained model; return their hash, if there are."""
        if self.settings.start_from:
            return load_start(self.network, self.settings.start_from, classes)
        return load_pretrained(self.network, self.config.network)

    def _check_teacher(self, sha256: str) -> None:
        """Record the teacher's hash; a resumed run must keep its teacher."""
        if self.now.teacher_sha256 not in ("", sha256):
            raise CheckpointError(
                f"training.teacher: {self.settings.teacher} is another one than the run began with"
            )
        self.now.teacher_sha256 = sha256

    def _reason_to_stop(self) -> str:
        now, settings = self.now, self.settings
        if now.best is None:
            return ""
        if self.interrupt.noted:
            return INTERRUPTED
        if self.diverged:
            return f"the loss became NaN or infinite in epoch {now.epoch + 1}"
        if now.epoch >= settings.epochs:
            return f"all {settings.epochs} epochs done"
        if settings.stop_patience and now.epoch - now.best.epoch >= settings.stop_patience:
            return f"no better validation accuracy for {settings.stop_patience} epochs"
        if settings.budget_s and self._elapsed_s() + self.reserve_s >= settings.budget_s:
            return f"time budget of {settings.budget_s:g} s used up"
        return ""

    def _learn(self, on_step: Callable[[Step], None]) -> tuple[float, float, float]:
        """Train for an epoch or the remaining time; return loss, accuracy, images per second."""
        epoch = self.now.epoch + 1
        torch.manual_seed(2**31 * epoch + self.config.seed)
        set_training_mode(self.network, self.settings)
        began = time.monotonic()
        self.augmented_s = self.batches.augmenter.cpu_time_s
        seen = num_right = 0
        total_loss = 0.0
        for num_steps, batch in enumerate(self.batches.epoch(epoch)):
            halted = self.interrupt.noted or not math.isfinite(total_loss)
            done, halted = agree((self._share_done(num_steps), halted))
            if seen and (done >= 1 or halted):
                break
            self.schedule.before_step(done)
            loss, right = self._step(batch, done)
            seen += len(batch.targets)
            num_right += right
            total_loss += loss * len(batch.targets)
            speed = seen / (time.monotonic() - began)
            rate, elapsed_s = self.schedule.rate, self._elapsed_s()
            on_step(Step(epoch, done, total_loss / seen, num_right / seen, rate, speed, elapsed_s))
        num = max(seen, 1)
        return total_loss / num, num_right / num, seen / (time.monotonic() - began)

    def _step(self, batch: Batch, progress: float) -> tuple[float, int]:
        """Take one step on a batch; return its loss and the number of correct predictions."""
        y_bk = torch.from_numpy(batch.targets).to(self.device)
        taught_bk = y_bk
        if self.teacher:
            taught = self.teacher(batch.images, batch.targets)
            taught_bk = torch.from_numpy(taught).to(self.device)
        x_bchw = self._input(batch.images)
        px = size_px(progress, self.config)
        if px < x_bchw.shape[2]:
            x_bchw = F.interpolate(x_bchw, (px, px), mode="bilinear", antialias=True)
        with self.compute.autocast(self.device):
            outputs = self.model(x_bchw).float()
            logits, *others = outputs.split(len(y_bk))
            loss = F.cross_entropy(logits, taught_bk, label_smoothing=self.settings.label_smoothing)
            if others:
                loss = loss + self.config.augment.consistency * jensen_shannon_divergence(
                    logits, *others
                )
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average:
            self.average.update(self.network)
        self.now.step += 1
        return loss.item(), int((logits.argmax(1) == y_bk.argmax(1)).sum())

    def _validate(self, loss: float, accuracy: float, images_per_s: float) -> EpochRecord:
        began = time.monotonic()
        validation = agree(None if rank() else self.validator(self._kept_state()))
        assert validation is not None, "process 0 validates"
        self.reserve_s = min(1.3 * (time.monotonic() - began), 0.5 * (self.settings.budget_s or 0))
        self.schedule.after_epoch(selection_loss(validation))
        self.now.elapsed_s = self._elapsed_s()
        return EpochRecord(
            epoch=self.now.epoch + 1,
            loss=loss,
            accuracy=accuracy,
            **vars(validation),
            learning_rate=self.schedule.rate,
            images_per_s=images_per_s,
            elapsed_s=self.now.elapsed_s,
            augmenting_s=self.batches.augmenter.cpu_time_s - self.augmented_s,
        )

    def _end_diverged(self) -> None:
        """End with the best epoch so far; raise an error if there is none."""
        if self.now.best is None:
            raise ConfigError(
                f"training.learning_rate: with {self.settings.learning_rate:g} the loss became "
                f"NaN or infinite after {self.now.step} steps; choose a lower one"
            )
        self.diverged = True

    def _keep(self, record: EpochRecord) -> None:
        """Write weights, history and state, then the best weights, which a state can restore.

        An interrupted first epoch has weights but no state: it is usable for inference, and the run
        begins anew when it goes on.
        """
        run, state = self.run, self._kept_state()
        self.now.epoch = record.epoch
        if self.now.best is None or selection_accuracy(record) > selection_accuracy(self.now.best):
            self.now.best = record
        if self.settings.keep_every_epoch:
            run.write_weights(run.epoch(record.epoch), state)
        run.write_weights(run.last, state)
        self.history.append(record)
        run.write_history(self.history)
        self.now.scaler = self.scaler.state_dict()
        if not self.interrupt.noted or self.now.step >= self.batches.num_an_epoch:
            checkpoint.save_state(
                run,
                self.now,
                self.network,
                self.optimizer,
                self.schedule,
                self.average,
            )
        self._keep_best()

    def _keep_best(self) -> None:
        """Write the best weights if they are those of this epoch."""
        if self.now.best and self.now.best.epoch == self.now.epoch:
            self.run.write_weights(self.run.best, self._kept_state())

    def _share_done(self, num_steps: int) -> float:
        """Return the fraction of the run that is complete after these steps of an epoch.

        Complete epochs count as such: a resumed run may have had other steps in them.
        """
        settings, num_an_epoch = self.settings, self.batches.num_an_epoch
        steps = self.now.epoch * num_an_epoch + num_steps
        time_share = 0.0
        if settings.budget_s:
            time_share = self._elapsed_s() / max(settings.budget_s - self.reserve_s, 1e-3)
        return max(steps / (settings.epochs * num_an_epoch), time_share)

    def _elapsed_s(self) -> float:
        return time.monotonic() - self.began

    def _kept_state(self) -> dict[str, Tensor]:
        return self.average.state if self.average else self.network.state_dict()

    def _input(self, images: Images) -> Tensor:
        return to_tensor(torch.from_numpy(images).to(self.device), self.config.preprocessing)

    def _outcome(self, stopped: str) -> TrainingResult:
        now = self.now
        assert now.best is not None
        return TrainingResult(
            now.best, now.epoch, stopped, self.compute, now.pretrained_sha256, now.teacher_sha256
        )
