"""All settings as typed groups. They are read from TOML and stored as TOML in the run folder.

The defaults are those of the preset `light`; `config.presets` has the others.
"""

from typing import Any, Literal, Self

import tomli_w
from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from stainproof.config.data_schema import (
    AuditConfig as AuditConfig,
)
from stainproof.config.data_schema import (
    Preprocessing as Preprocessing,
)
from stainproof.config.data_schema import (
    SourceConfig as SourceConfig,
)
from stainproof.config.data_schema import (
    SplitConfig as SplitConfig,
)
from stainproof.config.names import FilterName, PresetName, RecipeName, TtaMode
from stainproof.config.parsing import Settings
from stainproof.config.recipes import FAMILIES, RANGES, RECIPES, Recipe

MAX_EPOCHS = 100_000


NO_LAYERS: dict[str, Any] = {
    "stem": (), "stages": (), "blocks": 2, "unit": "inception", "units": 2, "skip": True,
    "norm": "batch", "hidden": 0,
}  # fmt: skip
"""Settings of stainproof's own layers when a backbone replaces them."""


class NetworkConfig(Settings):
    """The network. The defaults are the network `light` (191,408 parameters for 8 classes)."""

    backbone: str = ""
    """Name of a timm network that replaces the layers below; needs the extra `transfer`."""
    pretrained: str = ""
    """Initial weights of a backbone. Empty: random; `hub`: what timm downloads; `package`: those of
    an installed package; else the path of a safetensors or PyTorch file.
    """
    stem: tuple[int, ...] = (16, 32, 96)
    """Filters of the 3x3 convolution stages, each followed by 2x2 max pooling."""
    stages: tuple[int, ...] = (144,)
    """Filters of the custom-block stages, each followed by 2x2 max pooling."""
    blocks: int = Field(2, ge=1, le=16)
    """Number of custom blocks in a stage."""
    unit: Literal["inception", "conv"] = "inception"
    """Unit that a custom block repeats."""
    units: int = Field(2, ge=1, le=16)
    """Number of units in a custom block (k in the AN2DL paper)."""
    skip: bool = True
    """Whether a custom block has a skip connection."""
    norm: Literal["batch", "group"] = "batch"
    """Normalisation after every convolution. `group` is slower and independent of other images."""
    hidden: int = Field(128, ge=0, le=8192)
    """Width of the dense layer before the last one; 0: no such layer."""
    dropout: float = Field(0.2, ge=0.0, lt=1.0)
    """Dropout probability before the last layer."""

    @model_validator(mode="before")
    @classmethod
    def _one_kind_of_layers(cls, given: Any) -> Any:
        """Set stainproof's own layers to `NO_LAYERS` if a backbone is named."""
        return NO_LAYERS | given if isinstance(given, dict) and given.get("backbone") else given

    @model_validator(mode="after")
    def _layers_go_together(self) -> "NetworkConfig":
        for name, value in NO_LAYERS.items() if self.backbone else ():
            if getattr(self, name) != value:
                raise ValueError(f"{name} cannot be set together with a backbone")
        if self.pretrained and not self.backbone:
            raise ValueError("pretrained needs a backbone; other networks start at random")
        return self


class AugmentConfig(Recipe):
    """Augmentation of training images, drawn anew every epoch.

    Settings that are not given are those of the named recipe, operation by operation.
    """

    recipe: RecipeName = "stainproof"
    """Named recipe that provides the defaults."""
    without: tuple[str, ...] = ()
    """Operations or families of operations that are left out."""
    strength: float = Field(1.0, ge=0.0, le=2.0)
    """Multiplies every magnitude, within its limits; 0: no augmentation."""
    mix: Literal["none", "cutmix", "mixup", "either"] = "none"
    """Mixing of pairs of images and their labels within a batch."""
    mix_probability: float = Field(0.5, ge=0.0, le=1.0)
    """Probability that an image is mixed with another one."""
    mix_alpha: float = Field(1.0, gt=0.0, le=10.0)
    """Mixing weights are drawn from Beta(alpha, alpha)."""
    consistency: float = Field(0.0, ge=0.0, le=100.0)
    """Weight of the Jensen-Shannon consistency loss between an image and two augmented copies
    (AugMix: 12); above 0 a step processes three times as many images.
    """
    class_balance: Literal["none", "oversample"] = "none"
    """`none`: every image once an epoch, except that a last batch is left out if it has a single
    image, or on a cluster fewer than two for each process; `oversample`: images of small classes
    more often, each time augmented anew, until all classes have the same size.
    """
    validation: RecipeName = "stainproof"
    """Recipe of the augmented validation set, which controls early stopping, the schedule and the
    choice of the best epoch; `none`: the validation images as they are control them.
    """
    workers: int = Field(1, ge=1, le=256)
    """Number of augmentation threads; the result does not depend on it."""

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


class TrainingConfig(Settings):
    """Training. The defaults are the schedule `one-cycle`, for training on CPUs."""

    batch_size: int = Field(64, ge=1, le=65536)
    """Images per training step."""
    optimizer: Literal["adam", "adamw", "sgd", "lion", "muon"] = "muon"
    """Optimizer. Relative to Adam's learning rate, AdamW needs the same, Muon twice, Lion about a
    tenth, and SGD (with momentum 0.9) ten times or more.
    """
    learning_rate: float = Field(8e-3, gt=0.0, le=10.0)
    """Learning rate; of the schedule `one-cycle` the peak."""
    weight_decay: float = Field(0.02, ge=0.0, le=1.0)
    """Decoupled weight decay; of SGD the L2 penalty. Adam takes none."""
    epochs: int = Field(30, ge=1, le=MAX_EPOCHS)
    """Maximum number of epochs."""
    budget_s: float | None = Field(None, gt=0.0)
    """Maximum training time in seconds; None: no limit. The run folder is complete when it ends."""
    schedule: Literal["plateau", "one-cycle"] = "one-cycle"
    """`plateau`: the learning rate is reduced when the validation loss stops improving;
    `one-cycle`: it rises, then falls to zero.
    """
    plateau_factor: float = Field(0.2, gt=0.0, lt=1.0)
    """Factor of a reduction on a plateau."""
    plateau_patience: int = Field(20, ge=0)
    """Epochs without a lower validation loss before the learning rate is reduced."""
    stop_patience: int = Field(0, ge=0)
    """Epochs without a higher validation accuracy before training ends (early stopping); 0: never.
    """
    label_smoothing: float = Field(0.1, ge=0.0, lt=1.0)
    """Fraction of the target probability, also of a teacher's, that is spread evenly over the
    classes."""
    start_scale: float = Field(1.0, ge=0.1, le=1.0)
    """Factor by which images are scaled at the start of a one-cycle run (progressive resizing).
    They reach full size after two thirds of the run. 1: full size throughout.
    """
    ema_decay: float = Field(0.995, ge=0.0, lt=1.0)
    """Decay per step of the exponential moving average (EMA) of the weights. The averaged weights
    are validated and kept. 0: no average.
    """
    unfrozen_blocks: int | None = Field(None, ge=0)
    """Number of blocks that are trained besides the head, counted from the head; 0: the head
    alone; None: all. Blocks are those of a backbone, or the layers of stainproof's own network.
    """
    layer_decay: float = Field(1.0, gt=0.0, le=1.0)
    """Factor of the learning rate from each block to the block below."""
    freeze_norms: bool = False
    """Whether batch normalisation keeps its pretrained statistics and weights; otherwise its
    statistics adapt to the training images, in frozen blocks too.
    """
    start_from: str = ""
    """Run folder or shipped model whose weights training starts from (fine-tuning). The network
    must be its; classes of the same names keep their weights in the last layer."""
    teacher: str = ""
    """Folder of a run or an ensemble that acts as the teacher; empty: labels only."""
    distillation_weight: float = Field(0.9, gt=0.0, le=1.0)
    """Weight of the teacher's probabilities in the targets; the label has the rest. Label smoothing
    applies to both.
    """
    keep_every_epoch: bool = False
    """Whether the weights of every epoch are kept in `epochs/`, which `average` needs."""
    threads: int = Field(0, ge=0, le=1024)
    """Number of PyTorch threads; 0: timed once on a machine and remembered."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of a training step; weights and saved tensors are float32. `auto`: bfloat16 if a
    short timing finds it clearly faster; float16 needs a GPU.
    """
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device; `auto` takes a GPU if there is one."""

    @model_validator(mode="after")
    def _grows_with_the_run(self) -> "TrainingConfig":
        if self.start_scale < 1 and self.schedule != "one-cycle":
            raise ValueError(
                f"start_scale below 1 needs training.schedule=one-cycle; "
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
    """Settings of inference: test-time augmentation and noise filter."""

    tta: TtaMode = "none"
    """Test-time augmentation: predictions are averaged over the image alone (`none`), its 4 flips
    (`flips`), or all 8 flips and rotations by 90 degrees (`d4`).
    """
    filter: FilterName = "none"
    """Filter applied before the network: a low-pass filter, or `notch` against periodic noise."""
    cutoff: float = Field(0.5, gt=0.0, le=2.0)
    """Cutoff frequency of a low-pass filter, as a fraction of the Nyquist frequency."""

    @model_validator(mode="after")
    def _cutoff_counts(self) -> Self:
        if self.cutoff != 0.5 and self.filter in ("none", "notch"):
            raise ValueError(f"cutoff: goes with a low-pass filter, got filter {self.filter}")
        return self

    def describe(self) -> str:
        """Return a description such as `d4, gaussian 0.5`; empty for the defaults."""
        filtering = {"none": "", "notch": "notch"}.get(
            self.filter, f"{self.filter} {self.cutoff:g}"
        )
        return ", ".join(filter(None, ("" if self.tta == "none" else self.tta, filtering)))


class Config(Settings):
    """All settings of a run.

    `Config()` is the preset `light`, exactly what `train` and `stainproof train` use if nothing is
    chosen. Other presets are made by `config.presets.make_config("an2dl")`.
    """

    preset: PresetName = "light"
    """The preset that these settings started from; naming one does not apply it."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Seed of the split, the initial weights, the order of images and the augmentation."""
    preprocessing: Preprocessing = Preprocessing()
    """Preprocessing of the network's input."""
    source: SourceConfig = SourceConfig()
    """How the training images are read."""
    split: SplitConfig = SplitConfig()
    """Train, validation and test split."""
    network: NetworkConfig = NetworkConfig()
    """The network."""
    audit: AuditConfig = AuditConfig()
    """Thresholds of the audit before training."""
    augment: AugmentConfig = AugmentConfig()
    """Augmentation of the training images."""
    training: TrainingConfig = TrainingConfig()
    """Training."""

    @model_validator(mode="before")
    @classmethod
    def _preset_with_its_settings(cls, given: Any) -> Any:
        """Refuse the name of another preset than `light` without its network and training."""
        if isinstance(given, dict) and given.get("preset", "light") != "light":
            for group in ("network", "training"):
                if group not in given:
                    raise ValueError(
                        f"preset {given['preset']!r} without its {group} settings; name the preset "
                        "in --preset, train(preset=...) or make_config, which apply it"
                    )
        return given

    @model_validator(mode="after")
    def _has_something_to_keep(self) -> "Config":
        training, network = self.training, self.network
        if training.start_from and network.pretrained:
            raise ValueError("training.start_from cannot be combined with network.pretrained")
        if training.layer_decay < 1 and not (network.backbone or training.start_from):
            raise ValueError(
                "training.layer_decay below 1 needs network.backbone or training.start_from, "
                "got neither"
            )
        keeps = {
            "unfrozen_blocks": training.unfrozen_blocks is not None,
            "freeze_norms": training.freeze_norms,
        }
        for name, is_set in keeps.items():
            if is_set and not (network.pretrained or training.start_from):
                raise ValueError(
                    f"training.{name} needs network.pretrained or training.start_from, got neither"
                )
        return self

    @model_validator(mode="after")
    def _one_view_for_the_teacher(self) -> "Config":
        if self.training.teacher and self.augment.consistency:
            raise ValueError("training.teacher cannot be combined with augment.consistency above 0")
        return self

    def to_toml(self) -> str:
        """Return the settings as TOML that `read_config` reads back to an equal value."""
        return tomli_w.dumps(self.model_dump(exclude_none=True))
