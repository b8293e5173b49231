"""Run folders that tests change."""

from pathlib import Path
from typing import Any

from stainproof.runs.folder import RunFolder


def change_card(folder: Path, **changes: Any) -> None:
    """Write the card of a run with changes; other names of classes are those of its data too."""
    run = RunFolder(folder)
    card = run.read_card()
    if "classes" in changes:
        counts = {split: dict.fromkeys(changes["classes"], 1) for split in card.data.class_counts}
        changes["data"] = card.data.model_copy(update={"class_counts": counts})
    run.write_card(card.model_copy(update=changes))
