"""What a model card says that no file of a run contains: use, origin and licence of the data."""

from pathlib import Path

from stainproof.config.parsing import Settings, make_settings, read_toml

NOT_STATED = "not stated"


class DataAbout(Settings):
    """Origin and licence of the training images."""

    name: str = NOT_STATED
    description: str = NOT_STATED
    licence: str = NOT_STATED
    """Name of the licence, or its address."""
    url: str = ""
    """Where the images are published."""
    doi: str = ""
    citation: str = NOT_STATED
    published: str = ""
    """Date, such as 2020-04-08."""
    acquisition: str = NOT_STATED
    """Laboratory, stain, microscope or analyser, and who labelled the images."""
    changes: str = NOT_STATED
    """What was done with the images before training."""


class About(Settings):
    """The texts of a model card; all have defaults."""

    intended_use: str = (
        "Research on single-cell images of blood smears: comparing methods, pre-sorting images for "
        "review by a person, teaching."
    )
    out_of_scope: str = (
        "Diagnosis, or any decision about a patient without review by a qualified person: it is "
        "not a medical device. Images of other cells, stains or magnifications than those that it "
        "was evaluated on."
    )
    research_question: str = NOT_STATED
    representative: str = NOT_STATED
    """In what the cells differ from those of a routine laboratory."""
    images: str = NOT_STATED
    """How images must be for the model: what they show, and at which scale."""
    classes: str = NOT_STATED
    """What the classes contain, where their names do not say it."""
    test_sets: str = ""
    """What the sources of the evaluations are."""
    baseline: str = NOT_STATED
    """What the model is compared with, and the result."""
    not_cells: str = NOT_STATED
    """What the model does with images of things that are no cells."""
    repeat: str = ""
    """The command that trains the model again, with the time that it takes."""
    data: DataAbout = DataAbout()


def read_about(path: Path | None) -> About:
    """Read the texts from a TOML file; the defaults without one.

    Raises:
        ConfigError: The file is missing or damaged, or has an unknown key.
    """
    return About() if path is None else make_settings(About, read_toml(path), f"{path}: setting")
