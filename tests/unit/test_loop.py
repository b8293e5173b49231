"""Progress of a training, which sets its learning rate."""

from pathlib import Path

import numpy as np
import pytest

from stainproof.data.dataset import Dataset
from stainproof.runs.folder import RunFolder
from stainproof.training.loop import Step, Trainer
from tests.common.tiny import tiny_config


@pytest.mark.slow
def test_progress_of_a_resumed_run_is_counted_in_epochs_whatever_its_batch(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (48, 32, 32, 3), dtype=np.uint8)
    names = tuple(map(str, range(48)))
    data = Dataset("cells", images, np.arange(48) % 2, names, ("basophil", "platelet"))
    run, steps = RunFolder(tmp_path), list[Step]()
    Trainer(tiny_config("training.batch_size=8"), data, data, run).train(steps.append)
    assert [step.done for step in steps] == [index / 12 for index in range(12)]
    more = tiny_config("training.epochs=4", "training.batch_size=24")
    Trainer(more, data, data, run, resume=True).train(steps.append)
    assert [(step.epoch, step.done) for step in steps[12:]] == [
        (3, 0.5), (3, 0.625), (4, 0.75), (4, 0.875),
    ]  # fmt: skip
