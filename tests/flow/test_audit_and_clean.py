"""From a folder with everything wrong in it to one that can be learnt from."""

import csv
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from stainproof import api
from stainproof.audit import checks, measurements
from stainproof.audit.checks import run_checks
from stainproof.audit.doctored import Doctored, DoctoredImage
from stainproof.audit.findings import Finding, files_to_drop, read_csv, to_csv, write_csv
from stainproof.audit.summary import AuditSummary
from stainproof.cli.app import app
from stainproof.config.presets import with_assignments
from stainproof.config.schema import AuditConfig
from stainproof.data import sources
from stainproof.data.listing import Listing
from stainproof.errors import ConfigError, DataError
from stainproof.labels import BLOOD_CLASSES
from stainproof.reports.audit_page import common_folder, group_key
from stainproof.synthetic import phantoms
from tests.common.browser import chromium, needs_browser, wait
from tests.common.tiny import tiny_config

NUM = 480


def write(path: Path, rgb: NDArray[np.uint8], **how: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path, **how)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]]]:
    """Phantoms with every fault planted; gives the folder and kind -> names."""
    folder = tmp_path_factory.mktemp("audit") / "cells"
    images, labels = phantoms.generate(NUM, seed=6)
    rng = np.random.default_rng(0)
    picture = cv2.resize(
        rng.integers(256, size=(9, 9, 3)).astype(np.float32),
        (96, 96),
        interpolation=cv2.INTER_CUBIC,
    )
    names = [f"{BLOOD_CLASSES[labels[i]]}/cell_{i:03d}.png" for i in range(NUM)]
    truth = {"doctored": names[:60]}
    for i in range(NUM):
        rgb = images[i]
        if i < 60:
            rgb = np.clip(0.5 * rgb + 0.5 * picture, 0, 255).astype(np.uint8)
        write(folder / names[i], rgb)
    write(folder / "ig" / "turned.png", np.ascontiguousarray(np.rot90(images[67])))
    truth["exact_duplicate"] = [names[67], "ig/turned.png"]
    write(folder / "platelet" / "stored_again.jpg", images[71], quality=60)
    truth["near_duplicate"] = [names[71], "platelet/stored_again.jpg"]
    write(folder / "monocyte" / "other_label.png", images[80])
    truth["label_conflict"] = [names[80], "monocyte/other_label.png"]
    write(folder / "ig" / "grey.png", np.full((96, 96, 3), 200, np.uint8))
    write(folder / "ig" / "dark.png", phantoms.generate(1, seed=99)[0][0] // 6)
    truth["outlier"] = ["ig/grey.png", "ig/dark.png"]
    (folder / "ig" / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    truth["unreadable"] = ["ig/broken.jpg"]
    return folder, truth


@pytest.fixture(scope="module")
def audited(
    faulty: tuple[Path, dict[str, list[str]]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, AuditSummary]:
    out = tmp_path_factory.mktemp("audited") / "audit"
    summary = api.audit(faulty[0], out, review=True)
    return out, summary


def test_every_planted_fault_is_found_under_its_kind(
    faulty: tuple[Path, dict[str, list[str]]], audited: tuple[Path, AuditSummary]
) -> None:
    found: dict[str, Any] = {}
    for one in read_csv(audited[0] / "audit.csv"):
        found.setdefault(one.kind, set()).add(one.file)
    for kind, names in faulty[1].items():
        assert set(names) <= found.get(kind, set()), kind


def test_hardly_any_sound_image_is_found(
    faulty: tuple[Path, dict[str, list[str]]], audited: tuple[Path, AuditSummary]
) -> None:
    planted = {name for names in faulty[1].values() for name in names}
    found = {one.file for one in read_csv(audited[0] / "audit.csv")}
    assert len(found - planted) <= 0.02 * NUM


def test_the_table_the_summary_and_the_page_agree(audited: tuple[Path, AuditSummary]) -> None:
    out, summary = audited
    with (out / "audit.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "kind", "group", "score", "threshold", "action"]
    assert AuditSummary.read(out / "audit.json") == summary
    assert summary.findings == Counter(k for k, _ in {(r["kind"], r["file"]) for r in rows})
    assert sum(summary.class_counts_clean.values()) == summary.num_images - summary.num_dropped
    page = (out / "audit.html").read_text()
    assert "http://" not in page and "https://" not in page
    for kind in summary.findings:
        assert f'id="{kind}"' in page


@pytest.mark.slow
def test_a_large_set_is_measured_in_a_file_with_the_same_findings(
    faulty: tuple[Path, dict[str, list[str]]],
    audited: tuple[Path, AuditSummary],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measurements, "MAX_IN_MEMORY", 10)
    assert isinstance(measurements.measure(sources.list_source(faulty[0])).small, np.memmap)
    api.audit(faulty[0], tmp_path / "audit")
    assert read_csv(tmp_path / "audit" / "audit.csv") == read_csv(audited[0] / "audit.csv")


def test_cleaning_keeps_one_of_each_copy_and_none_of_a_conflict(
    faulty: tuple[Path, dict[str, list[str]]], audited: tuple[Path, AuditSummary], tmp_path: Path
) -> None:
    folder, truth = faulty
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))
    num_kept, num_aside = api.clean(folder, audited[0], tmp_path / "clean.csv")
    assert sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*")) == before
    kept = sources.list_source(tmp_path / "clean.csv")
    names = {path.resolve().relative_to(folder.resolve()).as_posix() for path in kept.paths}
    assert num_kept == len(names) and num_kept + num_aside == NUM + 6
    for kind in ("exact_duplicate", "near_duplicate"):
        assert len(names & set(truth[kind])) == 1
    for kind in ("label_conflict", "unreadable", "doctored"):
        assert not names & set(truth[kind])
    others = {one.file for one in read_csv(audited[0] / "audit.csv") if one.action == "drop"}
    assert names >= set(truth["outlier"]) - others


def test_cleaning_into_a_folder_copies_the_same_files(
    faulty: tuple[Path, dict[str, list[str]]], audited: tuple[Path, AuditSummary], tmp_path: Path
) -> None:
    api.clean(faulty[0], audited[0], tmp_path / "clean")
    copies = sources.list_source(tmp_path / "clean")
    assert copies.class_counts() == audited[1].class_counts_clean
    with pytest.raises(DataError, match="not an empty folder"):
        api.clean(faulty[0], audited[0], tmp_path / "clean")


@pytest.mark.slow
def test_an_npz_file_is_audited_and_cleaned_into_another(tmp_path: Path) -> None:
    images, labels = phantoms.generate(120, seed=8)
    images[5] = images[13]
    np.savez(tmp_path / "set.npz", images=images, labels=labels)
    summary = api.audit(tmp_path / "set.npz", tmp_path / "audit")
    assert summary.findings["exact_duplicate"] == 2
    api.clean(tmp_path / "set.npz", tmp_path / "audit", tmp_path / "clean.npz")
    assert len(sources.list_source(tmp_path / "clean.npz")) == 120 - summary.num_dropped
    with pytest.raises(DataError, match="npz"):
        api.clean(tmp_path / "set.npz", tmp_path / "audit", tmp_path / "clean.csv")


def test_an_npz_file_keeps_its_split_when_it_is_cleaned(tmp_path: Path) -> None:
    images, labels = phantoms.generate(60, seed=3)
    arrays: dict[str, Any] = {}
    for part, chosen in (("train", slice(0, 40)), ("val", slice(40, 50)), ("test", slice(50, 60))):
        arrays |= {f"{part}_images": images[chosen], f"{part}_labels": labels[chosen]}
    np.savez(tmp_path / "cells.npz", classes=BLOOD_CLASSES, **arrays)
    write_csv(tmp_path / "audit.csv", [Finding("cells_00045", "outlier", "", 1.0, 0.0, "drop")])
    out = tmp_path / "clean.npz"
    assert api.clean(tmp_path / "cells.npz", tmp_path / "audit.csv", out) == (59, 1)
    kept = sources.list_source(out)
    assert Counter(kept.parts) == {"train": 40, "val": 9, "test": 10}
    assert kept.arrays is not None
    assert np.array_equal(kept.arrays, np.delete(images, 45, axis=0))
    assert np.array_equal(kept.labels, np.delete(labels, 45))


def test_a_folder_cannot_keep_groups_and_the_source_is_never_written_over(
    faulty: tuple[Path, dict[str, list[str]]], tmp_path: Path
) -> None:
    names = [path.as_posix() for path in sorted(faulty[0].rglob("cell_*.png"))[:60]]
    manifest = tmp_path / "cells.csv"
    rows = [f"{name},{Path(name).parent.name},patient {n % 3}" for n, name in enumerate(names)]
    manifest.write_text("\n".join(["path,label,group", *rows]))
    write_csv(tmp_path / "audit.csv", [Finding(names[0], "outlier", "", 1.0, 0.0, "drop")])
    with pytest.raises(DataError, match=r"groups; write a \.csv"):
        api.clean(manifest, tmp_path / "audit.csv", tmp_path / "folder")
    before = manifest.read_bytes()
    with pytest.raises(DataError, match="is the source"):
        api.clean(manifest, tmp_path / "audit.csv", manifest)
    assert manifest.read_bytes() == before
    api.clean(manifest, tmp_path / "audit.csv", tmp_path / "clean.csv")
    groups = sources.list_source(tmp_path / "clean.csv").groups
    assert groups and len(set(groups)) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a name be any bytes")
def test_a_file_name_that_a_manifest_cannot_hold_is_named(tmp_path: Path) -> None:
    folder = api.make_phantoms(tmp_path / "cells", 16, seed=1, size_px=32)
    cell = min((folder / "ig").iterdir())
    cell.rename(os.fsdecode(os.fsencode(folder / "ig" / "cell_") + b"\xff.png"))
    write_csv(tmp_path / "audit.csv", [])
    with pytest.raises(DataError, match=r"file name that begins with 'cells/ig/cell_' is not"):
        api.clean(folder, tmp_path / "audit.csv", tmp_path / "clean.csv")
    assert not (tmp_path / "clean.csv").exists()


@pytest.mark.slow
def test_an_audit_of_other_images_under_the_same_names_is_refused(tmp_path: Path) -> None:
    for name, seed in (("old", 1), ("new", 2)):
        images, labels = phantoms.generate(60, seed=seed)
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "cells.npz", images=images, labels=labels)
    api.audit(tmp_path / "old" / "cells.npz", tmp_path / "audit")
    for audit in (tmp_path / "audit", tmp_path / "audit" / "audit.csv"):
        with pytest.raises(DataError, match="audit of other images than cells"):
            api.clean(tmp_path / "new" / "cells.npz", audit, tmp_path / "clean.npz")


@pytest.mark.slow
def test_duplicates_of_near_duplicates_are_one_group() -> None:
    images, labels = phantoms.generate(60, seed=9)
    images[[1, 3]] = images[[0, 2]] = np.stack([images[0], images[0].clip(0, 254) + 1])
    labels[:4] = 0
    listing = Listing("x", tuple(map(str, range(60))), labels, BLOOD_CLASSES, arrays=images)
    assert run_checks(listing, AuditConfig()).duplicates == {0: [2, 1, 3]}
    images[5] = images[0].clip(1, 255) - 1
    labels[5] = 1
    found = run_checks(listing, AuditConfig())
    assert found.duplicates == {}
    conflicts = {one.file for one in found.findings if one.kind == "label_conflict"}
    assert conflicts == {"0", "1", "2", "3", "5"}


def test_checks_that_were_skipped_are_named(tmp_path: Path) -> None:
    folder = api.make_phantoms(tmp_path / "cells", 24, seed=4)
    done = CliRunner().invoke(app, ["audit", str(folder), "--out", str(tmp_path / "audit")])
    assert done.exit_code == 0
    for words in (
        "doctored images not checked: at least 50 images are needed, got 24",
        "labels not checked: classes with fewer than 20 images: basophil (3)",
    ):
        assert words in " ".join(done.output.split())
        assert words in " ".join((tmp_path / "audit" / "audit.html").read_text().split())
    with pytest.raises(DataError, match="needs 20 images of each, got 24 and 8"):
        few = api.make_phantoms(tmp_path / "few", 8, seed=4)
        api.audit(folder, tmp_path / "other", against=few)
    assert not (tmp_path / "other" / "audit.csv").exists()


def test_an_audit_of_another_source_is_refused(
    audited: tuple[Path, AuditSummary], tmp_path: Path
) -> None:
    other = api.make_phantoms(tmp_path / "other", 40, seed=1, size_px=32)
    with pytest.raises(DataError, match="which is not in other"):
        api.clean(other, audited[0], tmp_path / "clean")
    assert not (tmp_path / "clean").exists()


@pytest.mark.slow
def test_training_leaves_out_what_its_audit_drops(
    faulty: tuple[Path, dict[str, list[str]]], tmp_path: Path
) -> None:
    config = tiny_config("training.epochs=1")
    card = api.train(faulty[0], tmp_path / "run", config, audited=True)
    summary = AuditSummary.read(tmp_path / "run" / "audit" / "audit.json")
    assert card.data.num_images == summary.num_images - summary.num_dropped
    assert any("left out by the audit" in note for note in card.data.notes)
    before = (tmp_path / "run" / "audit" / "audit.csv").stat().st_mtime_ns
    with pytest.raises(ConfigError, match="--audit: not allowed with --resume"):
        api.train(faulty[0], tmp_path / "run", resume=True, audited=True)
    assert (tmp_path / "run" / "audit" / "audit.csv").stat().st_mtime_ns == before
    more = with_assignments(config, ("training.epochs=2",))
    resumed = api.train(faulty[0], tmp_path / "run", more, resume=True)
    assert resumed.num_epochs == 2
    assert resumed.data == card.data


def test_an_audit_left_by_a_kill_is_not_used_without_the_option(
    faulty: tuple[Path, dict[str, list[str]]], audited: tuple[Path, AuditSummary], tmp_path: Path
) -> None:
    shutil.copytree(audited[0], tmp_path / "run" / "audit")
    with pytest.raises(ConfigError, match="audit of a run"):
        api.train(faulty[0], tmp_path / "run")


def test_a_part_of_a_source_is_not_audited_by_itself(tmp_path: Path) -> None:
    images, labels = phantoms.generate(16, seed=8, size_px=32)
    parts: dict[str, Any] = {f"{part}_{kind}": values for part in ("train", "val", "test")
             for kind, values in (("images", images), ("labels", labels))}  # fmt: skip
    np.savez(tmp_path / "set.npz", **parts)
    with pytest.raises(DataError, match="takes the whole source; remove @train"):
        api.audit(f"{tmp_path / 'set.npz'}@train", tmp_path / "audit")


@pytest.mark.slow
def test_two_sources_of_one_kind_are_alike_and_another_lab_is_not(tmp_path: Path) -> None:
    folders = [
        api.make_phantoms(tmp_path / name, 160, seed=seed, lab=lab)
        for name, seed, lab in (("a", 1, "home"), ("b", 2, "home"), ("c", 3, "other"))
    ]
    alike = api.audit(folders[0], tmp_path / "ab", against=folders[1])
    apart = api.audit(folders[0], tmp_path / "ac", against=folders[2])
    assert alike.two_sample_auc and apart.two_sample_auc
    assert alike.two_sample_auc.low < 0.6
    assert apart.two_sample_auc.low > 0.9


def test_cleaning_keeps_the_first_file_of_a_group() -> None:
    def one(file: Any, kind: Any, group: Any, action: Any) -> Any:
        return Finding(file, kind, group, 0.0, 0.0, action)

    findings = [
        one("a", "exact_duplicate", "C1", "keep one"),
        one("b", "exact_duplicate", "C1", "keep one"),
        one("c", "exact_duplicate", "C1", "keep one"),
        one("a", "doctored", "", "drop"),
        one("d", "outlier", "", "review"),
    ]
    assert files_to_drop(findings) == {"a", "c"}
    assert files_to_drop([]) == set()


@pytest.mark.parametrize(
    "text",
    ["file,kind\na,b\n", "\0", "file,kind,group,score,threshold,action\na,wrong,,1,1,drop\n"],
)
def test_a_table_that_is_no_audit_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "audit.csv").write_text(text)
    with pytest.raises(DataError, match=r"audit\.csv"):
        read_csv(tmp_path / "audit.csv")


def test_groups_that_share_a_file_keep_one_together() -> None:
    groups: list[tuple[Any, str, str]] = [
        ("exact_duplicate", "C1", "za"),
        ("near_duplicate", "N1", "zm"),
        ("near_duplicate", "N2", "pq"),
    ]
    findings = [
        Finding(file, kind, group, 0.0, 0.0, "keep one")
        for kind, group, names in groups
        for file in names
    ]
    assert files_to_drop(findings) == {"z", "m", "q"}


def test_a_table_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    finding = Finding("a.png", "outlier", "", 1.0, 0.0, "drop")
    (tmp_path / "audit.csv").write_text(to_csv([finding]), encoding="utf-8-sig")
    assert read_csv(tmp_path / "audit.csv") == [finding]


def test_findings_survive_the_table(tmp_path: Path) -> None:
    found = [Finding('odd, "name"\n.png', "doctored", "F1", 0.25, 0.125, "drop")]
    (tmp_path / "audit.csv").write_text(to_csv(found))
    assert read_csv(tmp_path / "audit.csv") == found


@pytest.mark.slow
def test_the_command_says_what_it_found_and_where_to_look(
    faulty: tuple[Path, dict[str, list[str]]], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stainproof", "audit", faulty[0], "--out", tmp_path / "a",
         "--set", "outlier_threshold=100"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "doctored" in done.stdout and "audit.html" in done.stdout
    assert "dark.png" not in (tmp_path / "a" / "audit.csv").read_text()


def test_a_new_label_in_the_table_is_applied_by_cleaning(tmp_path: Path) -> None:
    folder = api.make_phantoms(tmp_path / "cells", 24, seed=4, size_px=32)
    listing = sources.list_source(folder)
    suspect, dropped = (str(name) for name in listing.names[:2])
    old, new = listing.classes[listing.labels[0]], "platelet"
    assert old != new
    findings = [
        Finding(suspect, "label_suspect", "", 0.01, 0.02, "review", new_label=new),
        Finding(dropped, "outlier", "", 4.0, 3.0, "drop"),
    ]
    write_csv(tmp_path / "reviewed.csv", findings)
    assert read_csv(tmp_path / "reviewed.csv") == findings
    for out in ("clean.csv", "clean"):
        assert api.clean(folder, tmp_path / "reviewed.csv", tmp_path / out) == (23, 1)
        kept = sources.list_source(tmp_path / out)
        name = Path(suspect).name
        index = next(i for i, path in enumerate(kept.paths) if path.name == name)
        assert kept.classes[kept.labels[index]] == new
    assert (tmp_path / "clean" / new / Path(suspect).name).exists()
    assert (folder / suspect).exists()


def test_a_new_label_is_applied_to_an_npz_file_too(tmp_path: Path) -> None:
    images, labels = phantoms.generate(16, seed=8, size_px=32)
    np.savez(tmp_path / "set.npz", images=images, labels=labels)
    found = Finding("set_00003", "label_suspect", "", 0.01, 0.02, "review")
    new = sources.list_source(tmp_path / "set.npz").classes[(labels[3] + 1) % 8]
    write_csv(tmp_path / "reviewed.csv", [replace(found, new_label=new)])
    api.clean(tmp_path / "set.npz", tmp_path / "reviewed.csv", tmp_path / "clean.npz")
    expected = labels.copy()
    expected[3] = (labels[3] + 1) % 8
    assert np.array_equal(sources.list_source(tmp_path / "clean.npz").labels, expected)


def test_new_labels_that_cannot_be_applied_are_refused(tmp_path: Path) -> None:
    folder = api.make_phantoms(tmp_path / "cells", 16, seed=4, size_px=32)
    name = sources.list_source(folder).names[0]
    one = Finding(name, "label_suspect", "", 0.01, 0.02, "review", new_label="blast")
    write_csv(tmp_path / "reviewed.csv", [one])
    with pytest.raises(DataError, match=r"'blast' is no class of cells"):
        api.clean(folder, tmp_path / "reviewed.csv", tmp_path / "clean.csv")
    other = replace(one, kind="outlier", new_label="ig")
    write_csv(tmp_path / "reviewed.csv", [replace(one, new_label="platelet"), other])
    with pytest.raises(DataError, match="has two, 'platelet' and 'ig'"):
        api.clean(folder, tmp_path / "reviewed.csv", tmp_path / "clean.csv")


def test_hostile_file_names_are_text_on_the_page(tmp_path: Path) -> None:
    folder = api.make_phantoms(tmp_path / "cells", 16, seed=4, size_px=32)
    hostile = "<script>alert(1)</script>\"'&.jpg".replace("/", "")
    (folder / "ig" / hostile).write_bytes(b"no image")
    api.audit(folder, tmp_path / "audit", review=True)
    page = (tmp_path / "audit" / "audit.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_names_are_shown_relative_to_the_folder_that_they_share() -> None:
    assert common_folder(["/data/cells/ig/a.png", "/data/cells/platelet/b.png"]) == "/data/cells"
    assert common_folder(["ig/a.png", "platelet/b.png"]) == ""
    assert common_folder(["a", "ig/b.png"]) == common_folder(["/a/b.png", "c/d.png"]) == ""


@pytest.mark.slow
@needs_browser
def test_a_person_decides_in_a_browser_and_cleaning_applies_it(
    faulty: tuple[Path, dict[str, list[str]]], audited: tuple[Path, AuditSummary], tmp_path: Path
) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    with chromium(tmp_path) as browser:
        browser.get((audited[0] / "audit.html").as_uri())
        refused, asked, relabelled = (
            browser.find_element(By.CSS_SELECTOR, f"#{kind} .group")
            for kind in ("doctored", "outlier", "label_conflict")
        )
        groups = (refused, asked, relabelled)
        refused_key, asked_key, relabelled_key = (one.get_attribute("data-key") for one in groups)
        for group in groups:
            shown = ".zoom" if group is refused else "[data-decision=drop]"
            button = group.find_element(By.CSS_SELECTOR, shown)
            browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
            if group is refused:
                button.click()
                dialog = browser.find_element(By.ID, "zoom")
                assert dialog.is_displayed()
                ActionChains(browser).send_keys("k", "z").perform()
                assert not dialog.is_displayed()
            elif group is asked:
                button.click()
            else:
                browser.execute_script("arguments[0].focus()", group)
                ActionChains(browser).send_keys("r").perform()
                select = group.find_element(By.CSS_SELECTOR, "select")
                Select(select).select_by_visible_text("monocyte")
        states = [group.get_attribute("data-state") for group in groups]
        assert states == ["keep", "drop", "relabel"]
        Select(browser.find_element(By.ID, "decision")).select_by_visible_text("decided by you")
        assert [group.is_displayed() for group in groups] == [True, True, True]
        assert "3 of" in browser.find_element(By.ID, "shown").text
        browser.find_element(By.ID, "save").click()
        wait(browser, (tmp_path / "reviewed.csv").exists)
    everything = read_csv(audited[0] / "audit.csv")
    changes: dict[Any, dict[str, Any]] = {
        asked_key: {"action": "drop"},
        relabelled_key: {"action": "keep one", "new_label": "monocyte"},
    }
    expected = [
        replace(one, **changes.get(group_key(one), {}))
        for one in everything
        if group_key(one) != refused_key
    ]
    assert len(expected) < len(everything)
    assert read_csv(tmp_path / "reviewed.csv") == expected
    api.clean(faulty[0], tmp_path / "reviewed.csv", tmp_path / "clean.csv")
    clean = sources.list_source(tmp_path / "clean.csv")
    kept = {path.name for path in clean.paths}
    conflict = {Path(one.file).name for one in everything if group_key(one) == relabelled_key}
    labels = [
        clean.classes[label]
        for path, label in zip(clean.paths, clean.labels, strict=True)
        if path.name in conflict
    ]
    assert labels == ["monocyte"]
    assert {Path(one.file).name for one in everything if group_key(one) == refused_key} <= kept
    assert not {Path(one.file).name for one in everything if group_key(one) == asked_key} & kept


def test_a_single_image_with_weak_evidence_is_reviewed_and_not_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = api.make_phantoms(tmp_path / "cells", 60, seed=4)
    listing = sources.list_source(folder)
    single = [DoctoredImage(3, None, 0.65, 0.2), DoctoredImage(5, None, 0.9, 0.2)]
    grouped = [DoctoredImage(index, 0, 0.3, 0.2) for index in (7, 9)]
    overlay = np.zeros((48, 48, 3), np.uint8)

    def found(*_: Any, **__: Any) -> Doctored:
        return Doctored([*single, *grouped], [overlay])

    monkeypatch.setattr(checks, "find_doctored", found)
    findings = run_checks(listing, AuditConfig()).findings
    actions = [one.action for one in findings if one.kind == "doctored"]
    assert actions == ["review", "drop", "drop", "drop"]
