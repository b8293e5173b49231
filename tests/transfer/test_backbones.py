"""Networks of timm: built by name, with the input they want, learning as deep as asked for."""

import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from stainproof.config.presets import make_config, read_config, with_assignments
from stainproof.config.schema import NetworkConfig, TrainingConfig
from stainproof.errors import ConfigError
from stainproof.models.backbones import (
    build_backbone,
    freeze,
    head_names,
    set_training_mode,
    weight_depths,
    with_backbone_preprocessing,
)
from stainproof.models.network import build_network, check_network
from stainproof.training.optimizers import make_optimizer
from stainproof.training.progressive_resizing import start_px, training_sizes_px
from stainproof.training.schedule import Schedule

PAGE = (Path(__file__).parents[2] / "docs" / "transfer.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \| .* million", PAGE, re.MULTILINE)))
SMALL = ("mobilenetv3_small_050", "test_byobnet", "test_efficientnet", "test_convnext", "test_vit")
FIXED = "vit_tiny_patch16_224"
"""Takes images of one size only."""


def config_of(name: Any, *assignments: Any) -> Any:
    return make_config(
        assignments=(f"network.backbone={name}", "preprocessing.size_px=32", *assignments)
    )


def check(name: Any, *assignments: Any) -> None:
    config = config_of(name, *assignments)
    check_network(config, training_sizes_px(config))


def test_the_settings_in_the_documentation_are_good(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "lite.toml").write_text(text)
    config = read_config(tmp_path / "lite.toml")
    (command,) = re.findall(r"```console\nstainproof train .*?```", PAGE, re.DOTALL)[:1]
    said = re.findall(r"--set (\S+)", command)
    expected = make_config(assignments=(*said, "network.dropout=0.2"))
    assert (config.training, config.split) == (expected.training, expected.split)
    named = (config.network.backbone, config.network.pretrained)
    assert named == ("tf_efficientnet_lite0", "package")
    assert {"tf_efficientnet_lite0", "vgg19", "resnetv2_50", "mobilenetv2_100"} <= set(NAMED)


@pytest.mark.parametrize("name", NAMED)
def test_every_network_in_the_documentation_is_one_of_timms_with_weights_on_the_hub(
    name: Any,
) -> None:
    assert timm.is_model(name)
    assert timm.get_pretrained_cfg(name).has_weights


@pytest.mark.parametrize("name", SMALL[:4])
def test_a_backbone_gives_one_logit_a_class_and_a_gradient_for_every_weight(name: Any) -> None:
    network = build_network(config_of(name), num_classes=5).train()
    logits = network(torch.rand(4, 3, 32, 32))
    assert logits.shape == (4, 5)
    logits.square().sum().backward()
    assert not [key for key, weight in network.named_parameters() if weight.grad is None]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    configs = [with_assignments(config_of("test_byobnet"), (f"seed={seed}",)) for seed in (3, 3, 4)]
    first, again, other = (build_network(config, 8).state_dict() for config in configs)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_an_unknown_timm_name_is_refused_with_similar_ones() -> None:
    with pytest.raises(ConfigError, match="no network 'efficientnetb0'; did you mean efficientnet"):
        build_backbone(NetworkConfig(backbone="efficientnetb0"), 8)


@pytest.mark.parametrize("name", ["hf-hub:a/b", "../weights", "local-dir:here", "a\nb"])
def test_a_place_is_no_name(name: Any) -> None:
    with pytest.raises(ConfigError, match="timm has no network"):
        build_backbone(NetworkConfig(backbone=name), 8)


def test_weights_that_timm_does_not_list_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"network\.backbone: Invalid pretrained tag \(gone\)"):
        with_backbone_preprocessing(config_of("resnet18.gone"))


def test_a_network_without_a_head_is_refused() -> None:
    with pytest.raises(ConfigError, match="'qwen3_vit_88m_enc'"):
        build_backbone(NetworkConfig(backbone="qwen3_vit_88m_enc"), 8)


@pytest.mark.parametrize(
    ("name", "assignments", "message"),
    [
        (FIXED, (), f"'{FIXED}' does not take images of 32 px \\(Input height"),
        (FIXED, ("preprocessing.size_px=224", "training.start_scale=0.5"), "images of 112 px"),
        ("test_byobnet", ("network.pretrained=hub", "training.unfrozen_blocks=9"), "has 5 blocks"),
        (
            "test_convnext",
            ("network.pretrained=hub", "training.freeze_norms=true"),
            "no batch normalisation",
        ),
    ],
)
def test_unsupported_settings_are_refused_before_the_work(
    monkeypatch: pytest.MonkeyPatch, name: Any, assignments: Any, message: Any
) -> None:
    monkeypatch.setattr("stainproof.models.network.load_pretrained", lambda network, settings: "")
    with pytest.raises(ConfigError, match=message):
        check(name, *assignments)
    check("test_byobnet", "training.start_scale=0.5")


def test_images_start_no_smaller_than_a_backbone_can_halve() -> None:
    assert start_px(config_of("test_byobnet", "training.start_scale=0.5")) == 32
    large = config_of("test_byobnet", "training.start_scale=0.5", "preprocessing.size_px=96")
    assert start_px(large) == 48


@pytest.mark.parametrize("name", ["test_byobnet", "test_vit", "convnext_nano"])
def test_a_run_takes_the_mean_and_deviation_of_its_network(name: Any) -> None:
    found = with_backbone_preprocessing(config_of(name)).preprocessing
    known = timm.get_pretrained_cfg(name)
    assert (found.mean, found.std) == (known.mean, known.std)
    assert found.size_px == 32


def test_a_mean_that_the_user_gives_stays_and_only_what_is_missing_is_filled_in() -> None:
    config = with_backbone_preprocessing(
        config_of("test_byobnet", "preprocessing.mean=[0.1, 0.2, 0.3]")
    )
    assert config.preprocessing.mean == (0.1, 0.2, 0.3)
    assert config.preprocessing.std == timm.get_pretrained_cfg("test_byobnet").std
    assert with_backbone_preprocessing(config) == config


def test_a_choice_of_backbone_drops_the_mean_of_the_network_before() -> None:
    before = with_backbone_preprocessing(config_of("test_byobnet"))
    after = with_backbone_preprocessing(
        with_assignments(before, ("network.backbone=tf_efficientnet_lite0",))
    )
    assert after.preprocessing.mean == (0.5, 0.5, 0.5)
    kept = with_backbone_preprocessing(with_assignments(before, ("training.epochs=3",)))
    assert kept.preprocessing == before.preprocessing


def test_our_own_networks_keep_their_input() -> None:
    config = make_config("light")
    assert with_backbone_preprocessing(config) is config


@pytest.mark.parametrize("name", [*SMALL, "vgg19", "resnetv2_50", "poolformer_s12"])
def test_depths_count_blocks_from_the_head_down_without_a_gap(name: Any) -> None:
    with torch.device("meta"):
        network = build_backbone(NetworkConfig(backbone=name), 3)
    depths = weight_depths(network)
    assert list(depths) == [key for key, _ in network.named_parameters()]
    assert sorted(set(depths.values())) == list(range(max(depths.values()) + 1))
    head = {key for key, depth in depths.items() if depth == 0}
    assert head == {key for key, weight in network.named_parameters() if weight.shape[0] == 3}
    assert depths[next(iter(depths))] == max(depths.values())


def test_what_stands_between_the_last_block_and_the_head_belongs_to_the_block() -> None:
    with torch.device("meta"):
        depths = weight_depths(build_backbone(NetworkConfig(backbone="convnext_nano"), 3))
        lite0 = weight_depths(build_backbone(NetworkConfig(backbone="tf_efficientnet_lite0"), 3))
    assert depths["head.norm.weight"] == depths["stages.3.blocks.1.conv_dw.weight"] == 1
    assert lite0["conv_head.weight"] == lite0["blocks.6.0.conv_pw.weight"] == 1
    assert lite0["blocks.5.3.conv_pw.weight"] == 2
    assert lite0["conv_stem.weight"] == 17


def built(name: Any = "test_efficientnet", **training: Any) -> Any:
    torch.manual_seed(0)
    network = build_backbone(NetworkConfig(backbone=name), 3)
    training = {"optimizer": "adamw", "learning_rate": 0.1, "weight_decay": 0.01} | training
    settings = TrainingConfig(**training)
    freeze(network, settings)
    return network, settings


def step(network: Any, settings: Any) -> Any:
    """Take one step on noise; return the names of the weights and statistics that moved."""
    before = {key: value.clone() for key, value in network.state_dict().items()}
    optimizer = make_optimizer(network, settings)
    set_training_mode(network, settings)
    network(torch.rand(8, 3, 32, 32) * 3).square().sum().backward()
    optimizer.step()
    return {
        key
        for key, value in network.state_dict().items()
        if not torch.equal(value, before[key]) and not key.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize("unfrozen", [0, 1, 2])
def test_only_the_head_and_the_unfrozen_blocks_are_trained(unfrozen: Any) -> None:
    network, settings = built(unfrozen_blocks=unfrozen, freeze_norms=True)
    depths = weight_depths(network)
    moved = step(network, settings)
    assert moved >= set(head_names(network))
    assert {depths[name] for name in moved} == set(range(unfrozen + 1))


def test_frozen_batch_normalisation_keeps_statistics_and_weights_in_every_block() -> None:
    network, settings = built(freeze_norms=True)
    norms = tuple(
        f"{name}." for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)
    )
    moved = step(network, settings)
    assert norms and moved and not [name for name in moved if name.startswith(norms)]
    assert "conv_stem.weight" in moved
    assert not network.bn1.training and network.training


def test_batch_normalisation_that_is_not_frozen_follows_the_images_in_frozen_blocks_too() -> None:
    network, settings = built(unfrozen_blocks=0)
    moved = step(network, settings)
    assert {"bn1.running_mean", "bn1.running_var"} <= moved
    assert "bn1.weight" not in moved and "conv_stem.weight" not in moved


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lion", "muon"])
def test_the_learning_rate_falls_by_the_layer_decay_from_block_to_block(optimizer: Any) -> None:
    network, settings = built("mobilenetv3_small_050", layer_decay=0.5, optimizer=optimizer)
    optimizer = make_optimizer(network, settings)
    schedule = Schedule(optimizer, settings.model_copy(update={"schedule": "one-cycle"}))
    schedule.before_step(0.15)
    depths = weight_depths(network)
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    decays = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    for name, weight in network.named_parameters():
        assert rates[id(weight)] == pytest.approx(0.1 * 0.5 ** depths[name])
        assert decays[id(weight)] == (0.01 if weight.ndim > 1 else 0)
    assert schedule.rate == pytest.approx(0.1)
    assert step(network, settings) >= set(weight_depths(network))
    schedule.before_step(1.0)
    assert {group["lr"] for group in optimizer.param_groups} == {0.0}
