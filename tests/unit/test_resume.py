"""Where a training starts: in a new folder, on resume, and after it was stopped."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from stainproof.config.presets import make_config
from stainproof.config.schema import Config
from stainproof.errors import CheckpointError, ConfigError
from stainproof.models import backbones
from stainproof.runs.folder import RunFolder
from stainproof.training.checkpoint import Position, save_state
from stainproof.training.optimizers import make_optimizer
from stainproof.training.resume import Start, resolve_start
from stainproof.training.schedule import Schedule
from tests.common.tiny import tiny_config


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def stop_after(
    run: RunFolder, epoch: int, config: Config, trained_with: dict[str, Any] | None = None
) -> None:
    """Write what a run holds that was stopped after an epoch, or in its first one if that is 0."""
    run.write_config(config)
    if epoch:
        settings = config.model_dump(mode="json") if trained_with is None else trained_with
        network = nn.Linear(2, 2)
        optimizer = make_optimizer(network, config.training)
        schedule = Schedule(optimizer, config.training)
        save_state(run, Position(epoch, settings=settings), network, optimizer, schedule, None)


def add_audit(run: RunFolder) -> None:
    run.audit.mkdir(parents=True)
    (run.audit / "audit.csv").write_text("name\n")


def refusal(run: RunFolder, config: Config, resume: bool = False, audited: bool = False) -> str:
    with pytest.raises(ConfigError) as raised:
        resolve_start(run, config, resume, audited)
    return str(raised.value)


# A new run


@pytest.mark.parametrize("audited", [False, True])
def test_a_new_run_starts_with_the_settings_asked_for(run: RunFolder, audited: bool) -> None:
    start = resolve_start(run, tiny_config(seed=4), resume=False, audited=audited)
    assert start == Start(tiny_config(seed=4), resume=False, again=False, notes=())


def test_a_new_run_does_not_overwrite_one_without_settings(run: RunFolder) -> None:
    stop_after(run, 1, tiny_config())
    run.config.unlink()
    assert refusal(run, tiny_config()) == (
        f"{run}: already holds a run; add --resume, or choose another --out"
    )


def test_an_audit_without_its_run_is_used_only_if_asked_for(run: RunFolder) -> None:
    add_audit(run)
    assert refusal(run, tiny_config()) == (
        f"{run}: has the audit of a run that was not started; add --audit, or remove it"
    )
    assert resolve_start(run, tiny_config(), resume=False, audited=True) == Start(tiny_config())


def test_a_network_that_cannot_be_built_is_refused_before_the_images_are_read(
    run: RunFolder,
) -> None:
    assert "network.stages" in refusal(run, tiny_config("network.stages=[26]"))


def test_a_model_to_start_from_is_opened_before_the_images_are_read(
    run: RunFolder, tmp_path: Path
) -> None:
    config = tiny_config(f"training.start_from='{tmp_path / 'gone'}'")
    with pytest.raises((CheckpointError, ConfigError), match="gone"):
        resolve_start(run, config, resume=False, audited=False)


def test_a_backbone_brings_its_preprocessing(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = SimpleNamespace(mean=(0.5, 0.25, 0.125), std=(1.0, 2.0, 4.0))
    timm = SimpleNamespace(get_pretrained_cfg=lambda name: known)
    monkeypatch.setattr(backbones, "_timm_with", lambda name: timm)
    monkeypatch.setattr("stainproof.training.resume.check_network", lambda *arguments: None)
    config = make_config(assignments=("network.backbone='some_net'",))
    found = resolve_start(run, config, resume=False, audited=False).config.preprocessing
    assert (found.mean, found.std) == (known.mean, known.std)


@pytest.mark.parametrize(("audited", "resume"), [(False, False), (True, False), (False, True)])
def test_sizes_of_progressive_resizing_are_checked(
    run: RunFolder, audited: bool, resume: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[tuple[Config, list[int]]] = []
    monkeypatch.setattr(
        "stainproof.training.resume.check_network",
        lambda config, sizes: checked.append((config, list(sizes))),
    )
    config = tiny_config("training.start_scale=0.5")
    if resume:
        stop_after(run, 1, config)
    resolve_start(run, config, resume=resume, audited=audited)
    assert checked == ([] if resume else [(config, [16, 24, 32])])


# Resumed with --resume


def test_a_resumed_run_goes_on_and_says_what_was_changed(run: RunFolder) -> None:
    kept = tiny_config("training.weight_decay=0.25")
    stop_after(run, 1, kept)
    same = resolve_start(run, kept, resume=True, audited=False)
    assert same == Start(kept, resume=True, again=True, notes=())
    longer = tiny_config("training.epochs=5", "training.weight_decay=0.5")
    other = resolve_start(run, longer, resume=True, audited=False)
    assert (other.config, other.resume, other.again) == (longer, True, True)
    assert sorted(other.notes) == [
        "changed for the rest of the run: training.epochs: 2 -> 5",
        "changed for the rest of the run: training.weight_decay: 0.25 -> 0.5",
    ]


def test_a_resumed_run_keeps_its_audit(run: RunFolder) -> None:
    stop_after(run, 1, tiny_config())
    assert refusal(run, tiny_config(), resume=True, audited=True) == (
        "--audit: not allowed with --resume; a run keeps the audit it began with"
    )


@pytest.mark.parametrize(
    ("assignment", "change"),
    [
        ("seed=1", "seed: 0 -> 1"),
        ("preprocessing.size_px=40", "preprocessing.size_px: 32 -> 40"),
        ("source.label_column='cell'", "source.label_column:  -> cell"),
        ("split.val_fraction=0.5", "split.val_fraction: 0.1 -> 0.5"),
        ("network.stages=[32]", "network.stages: (24,) -> (32,)"),
        ("training.start_from='a'", "training.start_from:  -> a"),
    ],
)
def test_a_resumed_run_keeps_what_its_weights_depend_on(
    run: RunFolder, assignment: str, change: str
) -> None:
    stop_after(run, 1, tiny_config())
    assert refusal(run, tiny_config(assignment), resume=True) == (
        f"{change}: a resumed run keeps its own; leave it, or begin a new run"
    )


@pytest.mark.parametrize("schedule", ["plateau", "one-cycle"])
def test_only_a_plateau_run_keeps_its_learning_rate(run: RunFolder, schedule: str) -> None:
    kept = tiny_config(f"training.schedule='{schedule}'", "training.learning_rate=0.5")
    other = tiny_config(f"training.schedule='{schedule}'", "training.learning_rate=0.25")
    stop_after(run, 1, kept)
    if schedule == "plateau":
        assert refusal(run, other, resume=True) == (
            "training.learning_rate: 0.5 -> 0.25: a resumed run keeps its own; leave it, or begin "
            "a new run"
        )
    else:
        assert resolve_start(run, other, resume=True, audited=False).notes == (
            "changed for the rest of the run: training.learning_rate: 0.5 -> 0.25",
        )


def test_a_plateau_run_keeps_its_network_too(run: RunFolder) -> None:
    kept = tiny_config("training.schedule='plateau'")
    stop_after(run, 1, kept)
    other = tiny_config("training.schedule='plateau'", seed=3)
    assert refusal(run, other, resume=True).startswith("seed: 0 -> 3: a resumed run keeps its own")


def test_settings_are_those_of_the_last_epoch_whatever_config_toml_says(run: RunFolder) -> None:
    trained_with = tiny_config("training.epochs=3").model_dump(mode="json")
    stop_after(run, 1, tiny_config("training.epochs=7"), trained_with)
    assert resolve_start(run, tiny_config(), resume=True, audited=False).notes == (
        "changed for the rest of the run: training.epochs: 3 -> 2",
    )


def test_a_state_of_an_earlier_version_has_its_settings_in_config_toml(run: RunFolder) -> None:
    stop_after(run, 1, tiny_config("training.epochs=7"), trained_with={})
    assert resolve_start(run, tiny_config(), resume=True, audited=False).notes == (
        "changed for the rest of the run: training.epochs: 7 -> 2",
    )


@pytest.mark.parametrize("name", ["state", "history", "best"])
def test_what_was_altered_is_not_resumed(run: RunFolder, name: str) -> None:
    stop_after(run, 1, tiny_config())
    run.write_history([])
    run.write_weights(run.best, {"w": torch.ones(1)})
    path: Path = getattr(run, name)
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(CheckpointError, match=rf"{path.name}: altered"):
        resolve_start(run, tiny_config(), resume=True, audited=False)


def test_nothing_to_resume_is_an_error(run: RunFolder) -> None:
    with pytest.raises(CheckpointError, match="nothing to resume"):
        resolve_start(run, tiny_config(), resume=True, audited=False)


# Started again without --resume


def test_the_same_training_goes_on_after_its_last_epoch(run: RunFolder) -> None:
    stop_after(run, 2, tiny_config())
    assert resolve_start(run, tiny_config(), resume=False, audited=False) == Start(
        tiny_config(),
        resume=True,
        again=True,
        notes=(f"{run}: goes on after epoch 2, where it was stopped",),
    )


def test_the_same_training_begins_anew_if_it_finished_no_epoch(run: RunFolder) -> None:
    stop_after(run, 0, tiny_config())
    assert resolve_start(run, tiny_config(), resume=False, audited=False) == Start(
        tiny_config(),
        resume=False,
        again=True,
        notes=(f"{run}: finished no epoch; begins anew",),
    )


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_run_with_other_settings_is_not_taken_over(run: RunFolder, epoch: int) -> None:
    stop_after(run, epoch, tiny_config())
    advice = "add --resume, or choose" if epoch else "choose"
    assert refusal(run, tiny_config("training.epochs=9")) == (
        f"{run}: already holds a run with other settings (training.epochs: 2 -> 9); "
        f"{advice} another --out"
    )


def test_settings_edited_in_config_toml_are_not_taken_for_those_of_the_last_epoch(
    run: RunFolder,
) -> None:
    edited = tiny_config("training.epochs=9")
    stop_after(run, 1, edited, trained_with=tiny_config().model_dump(mode="json"))
    assert "other settings (training.epochs: 2 -> 9); add --resume" in refusal(run, edited)


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("had_audit", [False, True])
def test_a_stopped_run_goes_on_with_the_audit_it_had(
    run: RunFolder, epoch: int, had_audit: bool
) -> None:
    stop_after(run, epoch, tiny_config())
    if had_audit:
        add_audit(run)
    assert f"({'--audit: True -> False' if had_audit else '--audit: False -> True'});" in refusal(
        run, tiny_config(), audited=not had_audit
    )
    start = resolve_start(run, tiny_config(), resume=False, audited=had_audit)
    assert (start.again, start.resume) == (True, epoch > 0)
