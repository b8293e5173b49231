import numpy as np
import pytest
import torch

from stainproof.training.losses import jensen_shannon_divergence


def test_jensen_shannon_divergence_is_zero_for_equal_and_log_3_for_disjoint_distributions() -> None:
    logits = torch.randn(6, 4)
    assert jensen_shannon_divergence(logits, logits, logits) == pytest.approx(0, abs=1e-6)
    sure = 50 * torch.eye(3)
    apart = jensen_shannon_divergence(sure, sure.roll(1, 0), sure.roll(2, 0))
    assert apart == pytest.approx(np.log(3), rel=1e-3)


def test_the_gradient_of_the_divergence_is_finite() -> None:
    logits = [(40 * torch.eye(3)).roll(k, 0).requires_grad_() for k in range(3)]
    jensen_shannon_divergence(*logits).backward()
    assert all(one.grad is not None and one.grad.isfinite().all() for one in logits)
