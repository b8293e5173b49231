"""Write the model card of a run and the metadata of its training images."""

from pathlib import Path

from stainproof import files
from stainproof.reports.about import About, read_about
from stainproof.reports.croissant import croissant
from stainproof.reports.model_card import render
from stainproof.runs.ensemble import refuse_ensemble
from stainproof.runs.folder import RunFolder
from stainproof.runs.shipped import find_run, refuse_shipped


def write_model_card(
    run: str | Path, out: str | Path | None = None, about: About | str | Path | None = None
) -> Path:
    """Write `MODEL_CARD.md` of a run, from its evaluations, and `croissant.json` of its data.

    Args:
        run: The run folder, or the name of a shipped model.
        out: Folder to write to; by default the run folder. A shipped model needs one.
        about: What the run does not contain, or a TOML file of it, see `reports.about.About`: use,
            origin and licence of the data; by default these are `not stated`.

    Returns:
        The path of the model card.

    Raises:
        CheckpointError: The run folder or an evaluation cannot be read.
        ConfigError: The TOML file cannot be read or has an unknown key.
    """
    folder = RunFolder(find_run(run))
    folder.check_exists()
    refuse_ensemble(folder.path, "model cards are made of single runs")
    if out is None:
        refuse_shipped(folder.path, "add --out FOLDER")
    texts = about if isinstance(about, About) else read_about(Path(about) if about else None)
    place = Path(out or folder.path)
    page = render(folder, folder.path.resolve().name, texts)
    files.write_text(place / "croissant.json", croissant(folder, folder.read_card(), texts.data))
    files.write_text(place / "MODEL_CARD.md", page)
    return place / "MODEL_CARD.md"
