"""Check unlabelled images and write the results: the JSON file and the page."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stainproof import files
from stainproof.config.parsing import check_seed
from stainproof.config.schema import SourceConfig
from stainproof.data import sources
from stainproof.progress import Say, Track, silent, silent_say
from stainproof.shift.lab import Lab, read_lab, standardiser

if TYPE_CHECKING:
    from stainproof.deployment.result import CheckResult


def check(
    run: str | Path,
    images: Sequence[str],
    out: str | Path,
    *,
    lab: Lab | str | Path | None = None,
    reference: str | Path | None = None,
    seed: int = 0,
    options: SourceConfig = sources.AS_GUESSED,
    track: Track = silent,
    say: Say = silent_say,
) -> "CheckResult":
    """Say what to expect of a run on unlabelled images; write `check.json` and `check.html`.

    Args:
        run: The run folder.
        images: Image files, folders, globs or npz files. Of more than 2,000 images a random subset
            is checked.
        out: Folder to write to.
        lab: A laboratory profile or its file, by which the images are standardised first.
        reference: Labelled home cells, for a run without a reference; it is kept in the run folder.
            Images that the run was trained on are left out.
        seed: Seed of subsets, permutations and bootstraps, 0 or more.
        options: How the reference is read, see `data.sources.load`.
        track: Shows progress.
        say: Called with notes on what is skipped, and with a line if the run was adapted with a
            profile and `lab` is None.

    Returns:
        The result; its `expected_accuracy` has a 90 % interval.

    Raises:
        CheckpointError: The run or the profile cannot be used; the run is an ensemble or has no
            reference.
        ConfigError: The seed is below 0.
        DataError: A path matches no image, none can be read, or `out` cannot be written to.
    """
    from stainproof.deployment.checking import check_images
    from stainproof.deployment.home import open_home
    from stainproof.deployment.images import read_images
    from stainproof.deployment.result import CHECK_FILE, CHECK_PAGE_FILE
    from stainproof.reports.check_page import home_examples, render_check

    check_seed(seed)
    folder, profile = Path(out), read_lab(lab)
    home = open_home(run, reference, options, profile, track, say)
    found = read_images(
        home.classifier.preprocessing,
        images,
        seed,
        track,
        say,
        standardiser(profile),
    )
    files.check_writable(folder / CHECK_FILE)
    changed = profile.describe() if profile else ""
    checked = check_images(home, found, images, lab=changed, seed=seed, track=track)
    page = render_check(checked, found, home_examples(home.run))
    checked.result.write(folder / CHECK_FILE)
    files.write_text(folder / CHECK_PAGE_FILE, page)
    return checked.result
