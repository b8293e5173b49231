"""Complete a run: ONNX model, evaluations on its own held-out images, report."""

from collections.abc import Iterable
from pathlib import Path

from stainproof.data.dataset import Dataset
from stainproof.data.splits import VAL
from stainproof.evaluation.result import EVALUATION_FILE
from stainproof.inference.classifier import Classifier
from stainproof.progress import Track
from stainproof.runs.card import Card
from stainproof.runs.ensemble import refuse_ensemble
from stainproof.runs.folder import RunFolder
from stainproof.runs.shipped import find_run, refuse_shipped


def report(
    run: str | Path, evaluations: Iterable[str | Path] = (), *, explained: bool = False
) -> Path:
    """Write `report.html` of a run: its data, its training and all evaluations in its folder.

    Args:
        run: The run folder.
        evaluations: Further folders with an `eval.json`.
        explained: Whether the page shows which pixels the predictions of the mistakes are based on.

    Returns:
        The path of the report.

    Raises:
        CheckpointError: The run folder or an evaluation cannot be read.
        ConfigError: The network has no feature maps to explain predictions with.
    """
    from stainproof.reports.run_report import render

    folder = RunFolder(find_run(run))
    folder.check_exists()
    refuse_ensemble(folder.path, "reports are made of single runs")
    refuse_shipped(
        folder.path, f"stainproof card {folder.path.name} --out FOLDER writes its model card"
    )
    own = [path for path in folder.evaluation_folders() if (path / EVALUATION_FILE).exists()]
    explain_images = Classifier.load(folder.path).explain_standardised if explained else None
    return folder.write_report(render(folder, [*own, *map(Path, evaluations)], explain_images))


def finish_run(run: RunFolder, card: Card, parts: dict[str, Dataset], track: Track) -> Card:
    """Complete a run that has its weights; return its card.

    Args:
        run: The run folder.
        card: Its card.
        parts: The images of every part of the split, as `Split.divide` gives them.
        track: Shows progress.
    """
    from stainproof.deployment.home import write_reference
    from stainproof.evaluation.home import export_and_evaluate

    card = export_and_evaluate(run, card, parts, track)
    write_reference(run, parts[VAL], track=track)
    report(run.path)
    return card
