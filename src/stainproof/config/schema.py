"""Every setting, typed. TOML in, TOML in the run folder, `--set training.epochs=3` on the way."""

from typing import Any, Literal, Self

import tomli_w
from pydantic import (
    Field,
    PositiveFloat,
    field_validator,
    model_validator,
)

from stainproof.config.names import FilterName, PresetName, RecipeName, TtaMode
from stainproof.config.parsing import Settings
from stainproof.config.recipes import FAMILIES, RANGES, RECIPES, Recipe

MAX_SIZE_PX = 1024
MOST_EPOCHS = 100_000


class Preprocessing(Settings):
    """How a network wants its images; travels with the weights, the one source of preprocessing."""

    size_px: int = Field(96, ge=16, le=MAX_SIZE_PX)
    """Height and width that every image is brought to."""
    fit: Literal["crop", "pad", "stretch"] = "crop"
    """How an oblong image becomes square: its centre, a grey border, or squeezed."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Subtracted from each RGB channel after scaling to [0, 1]."""
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (1.0, 1.0, 1.0)
    """Divides each RGB channel after the subtraction."""
    channels: Literal["RGB"] = "RGB"
    """Channel order of the array the network is given."""


class SplitConfig(Settings):
    """Who learns and who is asked."""

    val_fraction: float = Field(0.2, gt=0.0, lt=0.9)
    """Share of the images that drives early stopping and the schedule."""
    test_fraction: float = Field(0.0, ge=0.0, lt=0.9)
    """Share that is kept apart for one clean measurement at the end."""


NO_LAYERS: dict[str, Any] = {
    "stem": (), "stages": (), "blocks": 2, "unit": "inception", "units": 2, "skip": True,
    "norm": "batch", "hidden": 0,
}  # fmt: skip
"""The settings of our own layers where a backbone takes their place."""


class NetworkConfig(Settings):
    """A network of general blocks; the defaults are the reference (1,932,920 parameters)."""

    backbone: str = ""
    """Name of a network of timm, in place of the layers below; needs the extra `transfer`."""
    pretrained: str = ""
    """What a backbone begins with. Empty: random weights; `hub`: what timm fetches; `package`: what
    an installed package holds; else the path of a file, of safetensors or of torch."""
    stem: tuple[int, ...] = (60, 120)
    """Filters of the plain 3x3 convolution stages, each followed by a max-pool of 2."""
    stages: tuple[int, ...] = (240, 480)
    """Filters of the custom-block stages, each followed by a max-pool of 2."""
    blocks: int = Field(2, ge=1, le=16)
    """Custom blocks in a stage."""
    unit: Literal["inception", "conv"] = "inception"
    """What is stacked inside a custom block."""
    units: int = Field(2, ge=1, le=16)
    """Units in a custom block, the report's k."""
    skip: bool = True
    """Whether a custom block adds its input to its output."""
    norm: Literal["batch", "group"] = "batch"
    """What follows every convolution: batch normalisation, or group normalisation, which is slower
    and treats every image by itself."""
    hidden: int = Field(128, ge=0, le=8192)
    """Width of the dense layer before the last; 0 for none."""
    dropout: float = Field(0.6, ge=0.0, lt=1.0)
    """Share of the features before the last layer that training drops."""

    @model_validator(mode="before")
    @classmethod
    def _one_kind_of_layers(cls, given: Any) -> Any:
        """Leave our own layers out where a backbone is named."""
        return NO_LAYERS | given if isinstance(given, dict) and given.get("backbone") else given

    @model_validator(mode="after")
    def _layers_go_together(self) -> "NetworkConfig":
        for name, value in NO_LAYERS.items() if self.backbone else ():
            if getattr(self, name) != value:
                raise ValueError(f"{name} is of our own layers, whose place the backbone takes")
        if self.pretrained and not self.backbone:
            raise ValueError("pretrained is for a backbone; our own layers begin at random")
        return self


class AugmentConfig(Recipe):
    """What training images are changed by, afresh every epoch.

    What is not given is as the named recipe says, operation by operation.
    """

    recipe: RecipeName = "stainproof"
    """The recipe that the operations started from."""
    without: tuple[str, ...] = ()
    """Operations, or families of them, that are left out."""
    strength: float = Field(1.0, ge=0.0, le=2.0)
    """Multiplies every amount, as far as the amount has a meaning; 0 leaves images as they are."""
    mix: Literal["none", "cutmix", "mixup", "either"] = "none"
    """Whether pairs of a batch are mixed, labels too."""
    mix_probability: float = Field(0.5, ge=0.0, le=1.0)
    """Share of the images that are mixed with another."""
    mix_alpha: float = Field(1.0, gt=0.0, le=10.0)
    """Shares are drawn from Beta(alpha, alpha): below 1 one of the two prevails."""
    consistency: float = Field(0.0, ge=0.0, le=100.0)
    """Weight of the Jensen-Shannon loss between an image and two changed copies (AugMix: 12);
    above 0 a step computes three images for one."""
    class_balance: Literal["none", "oversample"] = "none"
    """`none`: classes as they are; `oversample`: small ones filled up with fresh augmentations."""
    validation: RecipeName = "stainproof"
    """Recipe of the fixed changed validation images that early stopping and the schedule look
    at; `none`: they look at the images as they are."""
    workers: int = Field(1, ge=1, le=256)
    """Threads that augment; they do not alter the result."""

    @model_validator(mode="before")
    @classmethod
    def _from_named(cls, given: Any) -> Any:
        """Fill in what is not given from the named recipe."""
        if not isinstance(given, dict) or not isinstance(given.get("recipe", ""), str):
            return given
        named = RECIPES.get(given.get("recipe", "stainproof"), {})
        usual, own = named.get("operations", {}), given.get("operations", {})
        if isinstance(own, dict):
            own = usual | {
                name: usual.get(name, {}) | draw if isinstance(draw, dict) else draw
                for name, draw in own.items()
            }
        return {**named, **given, "operations": own}

    @model_validator(mode="after")
    def _one_loss(self) -> "AugmentConfig":
        if self.consistency and self.mix != "none":
            raise ValueError("consistency compares views of one image; set mix to none")
        return self

    @field_validator("without")
    @classmethod
    def _known_names(cls, without: tuple[str, ...]) -> tuple[str, ...]:
        for name in without:
            if name not in RANGES and name not in FAMILIES:
                allowed = ", ".join((*FAMILIES, *RANGES))
                raise ValueError(f"no operation or family {name!r}; allowed: {allowed}")
        return without


class AuditConfig(Settings):
    """Where an audit draws its lines; each line lies in units of the set's own spread."""

    near_duplicate_deviations: float = Field(6.0, gt=0.0, le=100.0)
    """Robust standard deviations below the usual nearest distance at which images are copies."""
    doctored_margin: float = Field(1.3, ge=1.0, le=10.0)
    """How far an image must agree with a group's foreign picture beyond what turned ones do."""
    doctored_threshold: float = Field(0.2, ge=0.0, le=100.0)
    """How far a single image must lie on the blended side of the boundary, in its margins."""
    outlier_threshold: float = Field(3.0, gt=0.0, le=100.0)
    """Distance of an outlier, in units of the set's 99th percentile's."""
    min_label_probability: float = Field(0.02, ge=0.0, le=1.0)
    """Cross-validated probability below which a label is suspect."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Seed of samples and folds."""


class TrainingConfig(Settings):
    """How the weights are found; the defaults are the report's (section 3)."""

    batch_size: int = Field(128, ge=1, le=65536)
    """Images a step."""
    optimizer: Literal["adam", "adamw", "sgd", "lion", "muon"] = "adam"
    """What takes the steps. Of Adam's learning rate, AdamW wants the same, Muon twice as much, Lion
    about a tenth and SGD (its momentum is 0.9) ten times and more."""
    learning_rate: float = Field(1e-3, gt=0.0, le=10.0)
    """The optimiser's step; the peak of the one-cycle schedule."""
    weight_decay: float = Field(0.0, ge=0.0, le=1.0)
    """Decoupled weight decay; of SGD, the usual one. Adam takes none."""
    epochs: int = Field(1000, ge=1, le=MOST_EPOCHS)
    """Most passes over the training split."""
    budget_s: float | None = Field(None, gt=0.0)
    """Seconds after which training ends with a complete run folder; nothing: no limit."""
    schedule: Literal["plateau", "one-cycle"] = "plateau"
    """`plateau`: the rate falls when validation loss stalls; `one-cycle`: up, then down to zero."""
    plateau_factor: float = Field(0.2, gt=0.0, lt=1.0)
    """What a plateau multiplies the rate by."""
    plateau_patience: int = Field(20, ge=0)
    """Epochs without a better validation loss before the rate falls."""
    stop_patience: int = Field(40, ge=0)
    """Epochs without a better validation accuracy before training ends; 0: never."""
    label_smoothing: float = Field(0.0, ge=0.0, lt=1.0)
    """Share of what is learnt, a teacher's answers too, that is spread evenly over the classes."""
    start_scale: float = Field(1.0, ge=0.1, le=1.0)
    """What images are scaled by at the start of a one-cycle run; they grow to full size by two
    thirds of it. Small images are faster to learn from; 1: full size throughout."""
    ema_decay: float = Field(0.0, ge=0.0, lt=1.0)
    """Decay a step of the averaged weights, which are then validated and kept; 0: no average."""
    unfrozen_blocks: int | None = Field(None, ge=0)
    """How many blocks of a backbone learn beside its head, counted from the head down; 0: the head
    alone; nothing: all."""
    layer_decay: float = Field(1.0, gt=0.0, le=1.0)
    """What the learning rate is multiplied by from each block of a backbone to the one below."""
    freeze_norms: bool = False
    """Whether batch normalisation keeps its first statistics and weights; else it goes by the new
    images, in frozen blocks too."""
    teacher: str = ""
    """Folder of a run or an ensemble whose answers are learnt; nothing: labels alone."""
    distillation_weight: float = Field(0.9, gt=0.0, le=1.0)
    """Share of the teacher's answers in what is learnt; the label has the rest. Label smoothing
    then goes over both."""
    keep_every_epoch: bool = False
    """Whether every epoch's weights are kept in `epochs/`, which weight averaging needs."""
    threads: int = Field(0, ge=0, le=1024)
    """Threads of the tensor library; 0: as many as a short measurement finds fastest."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of a training step; weights and everything kept have 32 bits. `auto`: bfloat16 where a short
    measurement finds it clearly faster, as on newer processors and GPUs; float16 needs a GPU."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute; `auto` takes a GPU where there is one."""

    @model_validator(mode="after")
    def _grows_with_the_run(self) -> "TrainingConfig":
        if self.start_scale < 1 and self.schedule != "one-cycle":
            raise ValueError(
                f"start_scale below 1 needs the schedule one-cycle, which knows how far a run is; "
                f"got {self.start_scale:g} with {self.schedule}"
            )
        return self

    @model_validator(mode="after")
    def _decays_where_it_can(self) -> "TrainingConfig":
        if self.weight_decay and self.optimizer == "adam":
            raise ValueError(
                f"weight_decay needs another optimizer than adam, for instance adamw; "
                f"got {self.weight_decay:g} with adam"
            )
        return self


class InferenceConfig(Settings):
    """How a trained network looks at an image."""

    tta: TtaMode = "none"
    """Whose answers are averaged: the image as it is, with its mirror images, or all eight ways it
    can lie."""
    filter: FilterName = "none"
    """What is done to the image before: a low-pass filter, or periodic noise taken out (notch)."""
    cutoff: float = Field(0.5, gt=0.0, le=2.0)
    """Of a low-pass filter: where it falls off, as a share of Nyquist's frequency."""

    @model_validator(mode="after")
    def _cutoff_counts(self) -> Self:
        if self.cutoff != 0.5 and self.filter in ("none", "notch"):
            raise ValueError(f"cutoff: goes with a low-pass filter, got filter {self.filter}")
        return self

    def describe(self) -> str:
        """Return for instance `turns, gaussian 0.5`; nothing for an image as it is."""
        filtering = {"none": "", "notch": "notch"}.get(
            self.filter, f"{self.filter} {self.cutoff:g}"
        )
        return ", ".join(filter(None, ("" if self.tta == "none" else self.tta, filtering)))


class Config(Settings):
    """All settings of a run."""

    preset: PresetName = "light"
    """The preset these settings started from."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Seed of the split, the weights, the order and the augmentation."""
    preprocessing: Preprocessing = Preprocessing()
    """What the network is given."""
    split: SplitConfig = SplitConfig()
    """How the images are parted."""
    network: NetworkConfig = NetworkConfig()
    """The layers."""
    audit: AuditConfig = AuditConfig()
    """The lines that an audit before training draws."""
    augment: AugmentConfig = AugmentConfig()
    """The changes to training images."""
    training: TrainingConfig = TrainingConfig()
    """The search for the weights."""

    @model_validator(mode="after")
    def _has_something_to_keep(self) -> "Config":
        training, network = self.training, self.network
        if training.layer_decay < 1 and not network.backbone:
            raise ValueError("training.layer_decay is for the blocks of a network.backbone")
        keeps = {
            "unfrozen_blocks": training.unfrozen_blocks is not None,
            "freeze_norms": training.freeze_norms,
        }
        for name, is_set in keeps.items():
            if is_set and not network.pretrained:
                raise ValueError(f"training.{name} keeps what network.pretrained gives; set that")
        return self

    @model_validator(mode="after")
    def _one_view_for_the_teacher(self) -> "Config":
        if self.training.teacher and self.augment.consistency:
            raise ValueError("training.teacher answers for one view; set augment.consistency to 0")
        return self

    def to_toml(self) -> str:
        """Return the settings as TOML text that `read_config` reads back to an equal value."""
        return tomli_w.dumps(self.model_dump(exclude_none=True))
