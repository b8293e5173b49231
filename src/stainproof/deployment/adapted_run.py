"""The run folder of an adapted run."""

from stainproof import files
from stainproof.deployment.heads import Head
from stainproof.deployment.home import Home
from stainproof.deployment.result import ADAPTATION_FILE, Adaptation, UnlabelledAdaptation
from stainproof.inference.engines import choose_engine
from stainproof.inference.export import to_onnx
from stainproof.inference.onnx_metadata import add_metadata
from stainproof.models.weights import load_network, replace_last_layer
from stainproof.runs.folder import RunFolder


def write_adapted_run(
    made: RunFolder,
    home: Home,
    head: Head | None,
    record: Adaptation | UnlabelledAdaptation,
    how: str,
) -> None:
    """Write weights, ONNX model, reference, record and card of an adapted run.

    Args:
        made: An empty folder.
        home: The run that was adapted.
        head: The new last layer; None: the network and its calibration stay as they are.
        record: How the run was adapted.
        how: The same in a few words, for the card.

    Raises:
        CheckpointError: The weights of the run are missing or were altered.
    """
    before = home.classifier.members[0].card
    network = load_network(home.run, before)
    made.copy_training_record(home.run)
    if head is None:
        made.copy_files(home.run, home.run.calibration)
    else:
        replace_last_layer(network, head.weight, head.bias)
    made.write_weights(made.best, network.state_dict())
    weights_sha256 = files.sha256_of(made.best)
    made.write_reference(home.reference.of_weights(weights_sha256).to_bytes())
    record.write(made.path / ADAPTATION_FILE)
    model = to_onnx(network, before.preprocessing)
    model = add_metadata(model, before.classes, before.preprocessing)
    card = before.model_copy(
        update={
            "weights_sha256": weights_sha256,
            "onnx_sha256": made.write_model(made.onnx, model),
            "int8_sha256": "",
            "calibration_sha256": "" if head else before.calibration_sha256,
            "adapted": f"from weights {before.weights_sha256[:12]} {how}",
            "adapted_lab": record.lab,
            "provenance": record.provenance,
        }
    )
    made.write_card(card.model_copy(update={"engine": choose_engine(made, card)}))
