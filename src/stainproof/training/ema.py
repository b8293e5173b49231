"""Exponential moving average (EMA) of weights during training."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class MovingAverage:
    """An exponential moving average of weights and batch-norm statistics.

    The decay grows as min(decay, (1 + t) / (10 + t)) with the step t, so that short runs forget
    their start (as TensorFlow's ExponentialMovingAverage does).
    """

    def __init__(self, network: nn.Module, decay: float):
        self.decay = decay
        self.steps = 0
        self.state = {key: value.detach().clone() for key, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Update the average with the network's current weights."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        averages: list[Tensor] = []
        currents: list[Tensor] = []
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                averages.append(self.state[key])
                currents.append(value)
            else:
                self.state[key].copy_(value)
        update = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        update(averages, currents, None)
