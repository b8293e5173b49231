"""Losses besides cross-entropy: the Jensen-Shannon consistency loss."""

import torch
from torch import Tensor
from torch.nn import functional as F


def jensen_shannon_divergence(*logits: Tensor) -> Tensor:
    """Return the Jensen-Shannon divergence of predictions for versions of the same images.

    Hendrycks et al. 2020, "AugMix", section 3: the mean Kullback-Leibler divergence of each
    version's prediction from the mean prediction, in nats; 0 if all are equal.

    Args:
        logits: Tensors (b, classes), one for each version.
    """
    log_probs = torch.stack([F.log_softmax(one, dim=1) for one in logits])
    log_mean = log_probs.exp().mean(dim=0).clamp(min=1e-7).log()
    return (log_probs.exp() * (log_probs - log_mean)).sum(dim=2).mean()
