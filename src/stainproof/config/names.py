"""Every name that a setting or a command-line option accepts, each list once."""

from typing import Literal

PresetName = Literal[
    "tiny", "small", "light", "large",
    "an2dl", "an2dl-simple", "an2dl-inception", "an2dl-residual",
]  # fmt: skip
NetworkName = Literal[
    "tiny", "small", "light", "large", "light-inception",
    "an2dl", "an2dl-simple", "an2dl-inception", "an2dl-residual",
]  # fmt: skip
ScheduleName = Literal["one-cycle", "an2dl"]
RecipeName = Literal[
    "none", "d4", "simple", "overlays", "randaugment", "trivialaugment", "augmix", "prime",
    "hybrid", "stains", "stainproof",
]  # fmt: skip

EngineName = Literal["onnxruntime", "openvino", "torch", "int8"]
EngineChoice = Literal["auto", "onnxruntime", "openvino", "torch", "int8"]
TtaMode = Literal["none", "flips", "d4"]
FilterName = Literal["none", "ideal", "gaussian", "butterworth", "notch"]
Voting = Literal["soft", "hard"]
AveragingChoice = Literal["threshold", "last", "greedy"]

Runtime = Literal["keras", "onnx"]
LabName = Literal["home", "other"]
