import torch

from stainproof.training.ema import MovingAverage


def test_the_moving_average_of_constant_weights_is_those_weights_and_lags_behind_moving_ones() -> (
    None
):
    network = torch.nn.BatchNorm1d(2)
    average = MovingAverage(network, 0.9)
    for _ in range(3):
        average.update(network)
    assert torch.equal(average.state["weight"], network.weight)
    with torch.no_grad():
        network.weight.fill_(2.0)
    average.update(network)
    assert (average.state["weight"] > 1.0).all()
    assert (average.state["weight"] < 2.0).all()
    assert not average.state["weight"].requires_grad
