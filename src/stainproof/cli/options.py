"""Arguments and options that several commands share."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stainproof.config.names import EngineChoice, FilterName, TtaMode

if TYPE_CHECKING:
    from stainproof.config.schema import InferenceConfig

Data = Annotated[
    str,
    typer.Argument(metavar="DATA", help="Class folders, .npz, .csv, .parquet or bloodmnist:64."),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder that train made.")]
Seed = Annotated[int, typer.Option(help="Seed of all random numbers.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be repeated."),
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
Python = Annotated[
    Path,
    typer.Option(help="The Python interpreter that runs the submission.", show_default="this one"),
]
THIS_PYTHON = Path(sys.executable)


def inference_config(tta: TtaMode, filter_name: FilterName, cutoff: float) -> "InferenceConfig":
    """Return the inference settings that the options stand for.

    Raises:
        ConfigError: A value is out of range, or a cutoff is given without a low-pass filter.
    """
    from stainproof.config.presets import make_inference_config

    return make_inference_config(tta, filter_name, cutoff)
