"""The training loop: learn for an epoch, judge, keep, until there is a reason to stop."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from stainproof import files
from stainproof.config import Config
from stainproof.data.images import Images
from stainproof.data.imageset import ImageSet
from stainproof.errors import CheckpointError, ConfigError
from stainproof.machine import keep_freed_memory
from stainproof.models.backbones import freeze, set_to_training
from stainproof.models.network import build_network, to_input
from stainproof.models.pretrained import load_pretrained
from stainproof.models.weights import save_weights
from stainproof.results import (
    BEST_FILE,
    EPOCHS_FOLDER,
    HISTORY_FILE,
    LAST_FILE,
    STATE_FILE,
    EpochRecord,
    read_history,
)
from stainproof.training import checkpoint, hardware
from stainproof.training.averaging import MovingAverage
from stainproof.training.batches import Batch, Batches
from stainproof.training.interrupt import Interrupt, noting_interrupts
from stainproof.training.judge import Judge, driving_accuracy, driving_loss
from stainproof.training.losses import disagreement
from stainproof.training.optim import Schedule, make_optimizer, size_px
from stainproof.training.teacher import Teacher

INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Step:
    """What a progress line shows."""

    epoch: int
    done: float
    """Share of the run that is over, 0 to 1."""
    loss: float
    accuracy: float
    learning_rate: float
    images_per_s: float
    elapsed_s: float


@dataclass(frozen=True)
class Outcome:
    """How a run stands or ended."""

    best: EpochRecord
    """The epoch whose weights are kept."""
    num_epochs: int
    stopped: str
    """Why training ended; `running` while it has not."""
    compute: hardware.Compute
    pretrained_sha256: str
    """Of the weights that training began with; empty where they were random."""
    teacher_sha256: str
    """Of the weights whose answers were learnt; empty where there was no teacher."""


class Trainer:
    """Trains one network and leaves its weights and history in a run folder.

    Every epoch ends with `best.safetensors`, `last.safetensors`, `state.safetensors` and
    `history.jsonl` whole on disk. The same settings, images, machine, threads and precision give
    the same weights, unless a time budget decides how many steps there are.
    """

    def __init__(
        self, config: Config, train: ImageSet, val: ImageSet, run: Path, *, resume: bool = False
    ):
        """Build the network, or put it back as it was.

        Args:
            config: All settings.
            train: Images to learn from.
            val: Images that drive early stopping, the schedule and the choice of the best epoch.
            run: The run folder.
            resume: Whether to go on from `state.safetensors` in it.

        Raises:
            CheckpointError: There is nothing to resume, or it does not fit the settings or the
                teacher.
            ConfigError: The network cannot be built, the device is not there, or the teacher cannot
                be used.
        """
        keep_freed_memory()
        self.config, self.settings, self.run_folder = config, config.training, run
        self.device = hardware.choose_device(self.settings.device)
        self.network = build_network(config, len(train.classes))
        self.now = checkpoint.Position()
        if not resume:
            self.now.pretrained_sha256 = load_pretrained(self.network, config.network)
        freeze(self.network, self.settings)
        self.network.to(self.device)
        self.optimizer = make_optimizer(self.network, self.settings)
        self.schedule = Schedule(self.optimizer, self.settings)
        decay = self.settings.ema_decay
        self.average = MovingAverage(self.network, decay) if decay else None
        if resume:
            state = run / STATE_FILE
            self.now = checkpoint.read_position(state)
            checkpoint.restore_state(
                state, self.network, self.optimizer, self.schedule, self.average
            )
            self._keep_best()
        self.compute = hardware.choose_compute(
            self.network, self._input(train.images[:16]), self.settings, self.now.compute
        )
        self.now.compute = self.compute
        self.scaler = self.compute.scaler(self.device)
        if self.now.scaler:
            self.scaler.load_state_dict(self.now.scaler)
        self.batches = Batches(train, config)
        self.judge = Judge(config, self.network, val, self.device)
        self.teacher: Teacher | None = None
        if self.settings.teacher:
            share = self.settings.teacher_share
            threads = self.compute.threads
            self.teacher = Teacher(self.settings.teacher, share, train.classes, threads)
            self._check_teacher(self.teacher.classifier.weights_sha256)
        self.history = read_history(run)[: self.now.epoch] if resume else []
        self.began = time.monotonic() - self.now.elapsed_s
        self.reserve_s = 0.05 * (self.settings.budget_s or 0.0)
        self.interrupt = Interrupt()
        self.diverged = False
        self.augmented_s = 0.0
        """Processor seconds of augmentation before this epoch."""

    def train(
        self,
        on_step: Callable[[Step], None] = lambda step: None,
        on_epoch: Callable[[Outcome], object] = lambda outcome: None,
    ) -> Outcome:
        """Learn until the epochs, the patience or the time are used up, or Ctrl-C.

        Args:
            on_step: Told after every step.
            on_epoch: Told after every epoch, when its files are written.

        Raises:
            ConfigError: The loss was no longer a number before an epoch was done.
        """
        with noting_interrupts() as self.interrupt:
            while not (stopped := self._reason_to_stop()):
                loss, accuracy, images_per_s = self._learn(on_step)
                if self.interrupt.noted and self.now.best:
                    continue
                record = self._judge(loss, accuracy, images_per_s)
                if not record.is_finite():
                    self._end_diverged()
                    continue
                self._keep(record)
                on_epoch(self._outcome("running"))
            return self._outcome(stopped)

    def _check_teacher(self, sha256: str) -> None:
        """Note whose answers are learnt; a resumed run keeps its teacher."""
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
            return f"the loss was no longer a number in epoch {now.epoch + 1}"
        if now.epoch >= settings.epochs:
            return f"all {settings.epochs} epochs done"
        if settings.stop_patience and now.epoch - now.best.epoch >= settings.stop_patience:
            return f"no better validation accuracy for {settings.stop_patience} epochs"
        if settings.budget_s and self._elapsed_s() + self.reserve_s >= settings.budget_s:
            return f"time budget of {settings.budget_s:g} s used up"
        return ""

    def _learn(self, on_step: Callable[[Step], None]) -> tuple[float, float, float]:
        """Train for an epoch or what is left of the time; give loss, accuracy, images a second."""
        epoch = self.now.epoch + 1
        torch.manual_seed(2**31 * epoch + self.config.seed)
        set_to_training(self.network, self.settings)
        began = time.monotonic()
        self.augmented_s = self.batches.augmenter.busy_s
        seen = num_right = 0
        total_loss = 0.0
        for batch in self.batches.epoch(epoch):
            done = self._share_done()
            if seen and (done >= 1 or self.interrupt.noted or not math.isfinite(total_loss)):
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
        """Take one step on a batch; give its loss and how many it got right."""
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
            answers = self.network(x_bchw).float()
            logits, *others = answers.split(len(y_bk))
            loss = F.cross_entropy(logits, taught_bk, label_smoothing=self.settings.label_smoothing)
            if others:
                loss = loss + self.config.augment.consistency * disagreement(logits, *others)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average:
            self.average.update(self.network)
        self.now.step += 1
        return loss.item(), int((logits.argmax(1) == y_bk.argmax(1)).sum())

    def _judge(self, loss: float, accuracy: float, images_per_s: float) -> EpochRecord:
        began = time.monotonic()
        judged = self.judge(self._kept_state())
        self.reserve_s = min(1.3 * (time.monotonic() - began), 0.5 * (self.settings.budget_s or 0))
        self.schedule.after_epoch(driving_loss(judged))
        self.now.elapsed_s = self._elapsed_s()
        return EpochRecord(
            epoch=self.now.epoch + 1,
            loss=loss,
            accuracy=accuracy,
            **vars(judged),
            learning_rate=self.schedule.rate,
            images_per_s=images_per_s,
            elapsed_s=self.now.elapsed_s,
            augmenting_s=self.batches.augmenter.busy_s - self.augmented_s,
        )

    def _end_diverged(self) -> None:
        """End with the best epoch so far; without one there is nothing to keep."""
        if self.now.best is None:
            raise ConfigError(
                f"training.learning_rate: with {self.settings.learning_rate:g} the loss was no "
                f"longer a number after {self.now.step} steps; choose a lower one"
            )
        self.diverged = True

    def _keep(self, record: EpochRecord) -> None:
        """Write weights, history and state; the best weights last, since a state can give them.

        An epoch that was cut short before there was another is answered with, not gone on from:
        it has no state.
        """
        folder, state = self.run_folder, self._kept_state()
        self.now.epoch = record.epoch
        if self.now.best is None or driving_accuracy(record) > driving_accuracy(self.now.best):
            self.now.best = record
        if self.settings.keep_every_epoch:
            save_weights(folder / EPOCHS_FOLDER / f"{record.epoch:04d}.safetensors", state)
        save_weights(folder / LAST_FILE, state)
        self.history.append(record)
        lines = [f"{line.model_dump_json()}\n" for line in self.history]
        files.write_text(folder / HISTORY_FILE, "".join(lines))
        self.now.scaler = self.scaler.state_dict()
        if not self.interrupt.noted or self.now.step >= self.batches.num_an_epoch:
            checkpoint.save_state(
                folder / STATE_FILE,
                self.now,
                self.network,
                self.optimizer,
                self.schedule,
                self.average,
            )
        self._keep_best()

    def _keep_best(self) -> None:
        """Write the best weights where they are those of this epoch."""
        if self.now.best and self.now.best.epoch == self.now.epoch:
            save_weights(self.run_folder / BEST_FILE, self._kept_state())

    def _share_done(self) -> float:
        settings = self.settings
        steps = settings.epochs * self.batches.num_an_epoch
        time_share = 0.0
        if settings.budget_s:
            time_share = self._elapsed_s() / max(settings.budget_s - self.reserve_s, 1e-3)
        return max(self.now.step / steps, time_share)

    def _elapsed_s(self) -> float:
        return time.monotonic() - self.began

    def _kept_state(self) -> dict[str, Tensor]:
        return self.average.state if self.average else self.network.state_dict()

    def _input(self, images: Images) -> Tensor:
        return to_input(torch.from_numpy(images).to(self.device), self.config.input)

    def _outcome(self, stopped: str) -> Outcome:
        now = self.now
        assert now.best is not None
        return Outcome(
            now.best, now.epoch, stopped, self.compute, now.pretrained_sha256, now.teacher_sha256
        )
