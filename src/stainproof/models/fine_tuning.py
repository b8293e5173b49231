"""Initial weights from a trained model: all layers but the last, and the classes that match."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from stainproof.errors import CheckpointError
from stainproof.labels import canonical
from stainproof.models.backbones import head_names
from stainproof.models.weights import load_network
from stainproof.runs.fine_tuning import open_start


def load_start(network: nn.Module, start_from: str, classes: Sequence[str]) -> str:
    """Load the weights of a trained model into a network.

    Of the last layer, a class whose name the model knows, in any spelling, keeps its weights; those
    of other classes stay random.

    Args:
        network: The network of the new run, with initial weights.
        start_from: A run folder or the name of a shipped model.
        classes: Names of the classes of the new run.

    Returns:
        The SHA-256 of the model's weights.

    Raises:
        CheckpointError: The model cannot be read, or has another network.
    """
    run, card = open_start(start_from)
    trained = load_network(run, card).state_dict()
    head = head_names(network)
    weights = dict(network.state_dict())
    _check_fits(weights, trained, head, start_from)
    known = {canonical(name): index for index, name in enumerate(card.classes)}
    pairs = [
        (index, known[canonical(name)])
        for index, name in enumerate(classes)
        if canonical(name) in known
    ]
    for name, value in trained.items():
        if name in head:
            for new, old in pairs:
                weights[name][new] = value[old]
        else:
            weights[name] = value
    network.load_state_dict(weights)
    return card.weights_sha256


def _check_fits(
    wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], head: Sequence[str], start_from: str
) -> None:
    """Check that two networks have the same layers, except for the number of classes.

    Raises:
        CheckpointError: They differ.
    """
    for name in sorted(wanted.keys() | given.keys()):
        skipped = 1 if name in head else 0  # the first dimension of the last layer is the classes
        shapes = [
            tuple(weights[name].shape[skipped:]) if name in weights else None
            for weights in (wanted, given)
        ]
        if shapes[0] != shapes[1]:
            raise CheckpointError(
                f"training.start_from: {start_from} has another network than the settings "
                f"({name}: {shapes[1]} there, {shapes[0]} in the settings)"
            )
