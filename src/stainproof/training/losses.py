"""Losses beside cross-entropy."""

import torch
from torch import Tensor
from torch.nn import functional as F


def jensen_shannon_divergence(*logits: Tensor) -> Tensor:
    """Return the Jensen-Shannon divergence between answers to views of the same images.

    Hendrycks et al. 2020, "AugMix", section 3: the mean of the Kullback-Leibler divergences of
    each view's answer from the mean answer, in nats; 0 where all agree.

    Args:
        logits: Tensors (b, classes), one a view.
    """
    log_probs = torch.stack([F.log_softmax(one, dim=1) for one in logits])
    log_mean = log_probs.exp().mean(dim=0).clamp(min=1e-7).log()
    return (log_probs.exp() * (log_probs - log_mean)).sum(dim=2).mean()
