"""Validation after an epoch."""

from pathlib import Path

import pytest
import torch

from stainproof.data import sources
from stainproof.models.network import build_network
from stainproof.training.compute import Compute, Precision
from stainproof.training.validation import Validator
from tests.common.cells import write_cells
from tests.common.tiny import tiny_config


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_validation_computes_in_the_precision_of_training(
    precision: Precision, tmp_path: Path
) -> None:
    config = tiny_config()
    cells = sources.load(write_cells(tmp_path / "cells"), config.preprocessing)
    network = build_network(config, len(cells.classes))
    validator = Validator(config, network, cells, torch.device("cpu"), Compute(1, precision))
    seen = []
    validator.network.register_forward_hook(lambda _, __, logits: seen.append(logits.dtype))
    validation = validator(network.state_dict())
    assert set(seen) == {getattr(torch, precision)}
    assert validation.val_loss > 0
