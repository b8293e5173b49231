"""Arguments and options that several commands share."""

import functools
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stainproof.config.names import EngineChoice, FilterName, TtaMode

if TYPE_CHECKING:
    from stainproof.config.schema import InferenceConfig, SourceConfig

Data = Annotated[
    str,
    typer.Argument(metavar="DATA", help="Class folders, .npz, .csv, .parquet or bloodmnist:64."),
]
Images = Annotated[
    list[str], typer.Argument(metavar="IMAGES...", help="Image files, folders, globs or .npz.")
]
Run = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="A run folder, or a model that stainproof models lists."),
]
Seed = Annotated[int, typer.Option(help="Seed of all random numbers.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be repeated."),
]
Ray = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS", help="Run on a Ray cluster: local, auto or HOST:PORT of its head."
    ),
]
Engine = Annotated[
    EngineChoice,
    typer.Option(help="Inference engine; auto: the run's own; int8: after quantise."),
]
Tta = Annotated[
    TtaMode,
    typer.Option(help="Test-time augmentation: average over 4 flips or the 8 symmetries (d4)."),
]
Filter = Annotated[
    FilterName,
    typer.Option("--filter", help="Noise filter: a low-pass filter, or notch for periodic noise."),
]
Cutoff = Annotated[
    float,
    typer.Option(help="Cutoff frequency of a low-pass filter, as a fraction of Nyquist's."),
]
ErrorsOf = Annotated[
    Path | None,
    typer.Option(
        metavar="EVAL",
        help="Evaluation on labelled cells of this laboratory; by default the run's own.",
    ),
]
LabFile = Annotated[
    Path | None,
    typer.Option("--lab", help="Laboratory profile of the images, which profile made."),
]
Python = Annotated[
    Path,
    typer.Option(help="The Python interpreter that runs the submission.", show_default="this one"),
]
THIS_PYTHON = Path(sys.executable)
Unfenced = Annotated[
    bool,
    typer.Option(
        "--unfenced",
        help="Run the submission without the sandbox: it can read your files and use the network.",
    ),
]


Bits = Annotated[
    int,
    typer.Option(help="Bits that 16-bit files use, 8 to 16; 0: found.", metavar="N"),
]
Fields = Annotated[
    bool,
    typer.Option("--fields", help="IMAGES are photographs of a smear: find their cells first."),
]
FieldBoxes = Annotated[
    Path | None,
    typer.Option(
        "--boxes",
        metavar="PATH",
        help="Boxes of the fields' cells instead of detection: .csv, COCO .json, or a folder of "
        "YOLO .txt or Pascal VOC .xml.",
    ),
]
RedCellPx = Annotated[
    float | None,
    typer.Option(
        "--red-cell-px",
        help="Diameter of a red cell in pixels of the fields.",
        show_default="measured in each field",
    ),
]
_PANEL = "How DATA is read"
SOURCE_OPTIONS: dict[str, Any] = {
    "layout": Annotated[
        str,
        typer.Option(
            metavar="PATTERN",
            help="Folders of classes and patients, such as '{group}/**/{label}/*'.",
            rich_help_panel=_PANEL,
        ),
    ],
    "path_column": Annotated[
        str, typer.Option(help="Column of a manifest with the files.", rich_help_panel=_PANEL)
    ],
    "label_column": Annotated[
        str, typer.Option(help="Column of a manifest with the classes.", rich_help_panel=_PANEL)
    ],
    "group_column": Annotated[
        str, typer.Option(help="Column with patients or slides.", rich_help_panel=_PANEL)
    ],
    "classes": Annotated[
        str,
        typer.Option(
            metavar="A,B,...",
            help="Class names of an npz file without them, or bloodmnist.",
            rich_help_panel=_PANEL,
        ),
    ],
    "class_map": Annotated[
        str,
        typer.Option(
            "--map",
            metavar="TOML",
            help="Rename, merge and leave out classes; haematology: the packaged map.",
            rich_help_panel=_PANEL,
        ),
    ],
    "bits": Annotated[
        int,
        typer.Option(help="Bits that 16-bit files use; 0: found.", rich_help_panel=_PANEL),
    ],
    "skip_unreadable": Annotated[
        bool,
        typer.Option(
            "--skip-unreadable",
            help="Leave out images that cannot be read, and list them.",
            rich_help_panel=_PANEL,
        ),
    ],
}
"""The options of `SourceConfig`; those that are empty are guessed."""


def with_source_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say how a source is read; the command gets them as `options`."""
    signature = inspect.signature(command)
    kept = [one for one in signature.parameters.values() if one.name != "options"]
    added = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=_DEFAULTS[name], annotation=annotation
        )
        for name, annotation in SOURCE_OPTIONS.items()
    ]

    @functools.wraps(command)
    def wrapped(**values: Any) -> None:
        from stainproof.config.parsing import make_settings
        from stainproof.config.schema import SourceConfig

        given = {name: values.pop(name) for name in SOURCE_OPTIONS}
        command(options=make_settings(SourceConfig, given, "option"), **values)

    wrapped.__signature__ = signature.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {one.name: one.annotation for one in (*kept, *added)}
    return wrapped


_DEFAULTS: dict[str, Any] = dict.fromkeys(SOURCE_OPTIONS, "") | {
    "bits": 0,
    "skip_unreadable": False,
}


def check_no_source_options(options: "SourceConfig", option: str) -> None:
    """Refuse options of how labelled data is read beside one that reads images without labels.

    Raises:
        ConfigError: One was given.
    """
    from stainproof.data.sources import AS_GUESSED
    from stainproof.errors import ConfigError

    given = [name for name in SOURCE_OPTIONS if getattr(options, name) != getattr(AS_GUESSED, name)]
    if given:
        name = "map" if given[0] == "class_map" else given[0].replace("_", "-")
        raise ConfigError(f"--{name} is not allowed with {option}: the images have no labels")


def inference_config(tta: TtaMode, filter_name: FilterName, cutoff: float) -> "InferenceConfig":
    """Return the inference settings that the options stand for.

    Raises:
        ConfigError: A value is out of range, or a cutoff is given without a low-pass filter.
    """
    from stainproof.config.presets import make_inference_config

    return make_inference_config(tta, filter_name, cutoff)
