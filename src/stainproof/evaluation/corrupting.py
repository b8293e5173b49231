"""Write corrupted copies of images; evaluate a run on them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from stainproof import files
from stainproof.config.parsing import check_known, check_seed
from stainproof.config.schema import InferenceConfig, Preprocessing, SourceConfig
from stainproof.corruptions.bloodmnist import CORRUPTIONS, SEVERITIES, SIZE_PX
from stainproof.corruptions.bloodmnist import corrupt as corrupt_image
from stainproof.data import sources
from stainproof.data.bit_depth import bits_used
from stainproof.data.decoding import decode
from stainproof.data.images import to_square
from stainproof.data.parallel import in_order
from stainproof.data.tree import scan
from stainproof.errors import ConfigError, DataError
from stainproof.evaluation.opening import choose_folder, name_evaluation, open_evaluation
from stainproof.progress import Say, Track, silent, silent_say
from stainproof.shift.lab import Lab

if TYPE_CHECKING:
    from stainproof.evaluation.corrupted_result import CorruptionEvaluation


def corrupt(
    folder: str | Path,
    out: str | Path,
    *,
    corruptions: Sequence[str] = tuple(CORRUPTIONS),
    severities: Sequence[int] = (3,),
    seed: int = 0,
    track: Track = silent,
    say: Say = silent_say,
) -> int:
    """Write corrupted copies of the images of a folder, as PNG of 224 x 224 px.

    The copies of `DATA/class/cell.jpg` are `OUT/pixelate-3/class/cell.jpg.png` and so on, so that
    every folder in `out` is a source.

    Args:
        folder: A folder of images, with or without class folders.
        out: Folder to make.
        corruptions: Names in `corruptions.bloodmnist.CORRUPTIONS`.
        severities: 1 to 5 each.
        seed: The same seed gives the same images; 0 or more.
        track: Shows progress.
        say: Called with a note for each kind of file that is skipped.

    Returns:
        The number of images written.

    Raises:
        ConfigError: A corruption is unknown, or a severity or the seed is out of range.
        DataError: The folder has no images, an image cannot be read, the bit depth of 16-bit files
            is ambiguous, or `out` is not empty.
    """
    for name in corruptions:
        check_known(name, tuple(CORRUPTIONS), "corruption")
    check_seed(seed)
    for severity in severities:
        if severity not in SEVERITIES:
            raise ConfigError(f"severity must be 1 to 5, got {severity}")
    source = Path(folder)
    if not source.is_dir():
        raise DataError(f"{source}: not a folder; give the folder of the images")
    tree = scan(source)
    for note in tree.notes():
        say(f"{source}: {note}")
    paths = sorted(tree.images)
    if not paths:
        raise DataError(f"{source}: no images there")
    size, bits = Preprocessing(size_px=SIZE_PX), bits_used(paths)
    with files.new_folder(Path(out)) as made:

        def write(index: int) -> None:
            path = paths[index]
            rgb = to_square(decode(path, bits).rgb, size)
            place = PurePosixPath(path.relative_to(source).as_posix() + ".png")
            for name in corruptions:
                for severity in severities:
                    changed = corrupt_image(rgb, name, severity, seed, index)
                    files.write_picture(made / f"{name}-{severity}" / place, changed)

        for _ in track(in_order(write, range(len(paths))), "corrupting images", len(paths)):
            pass
    return len(paths) * len(corruptions) * len(severities)


def evaluate_corruptions(
    run: str | Path,
    source: str | Path,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    engine: str = "auto",
    inference: InferenceConfig | None = None,
    options: SourceConfig = sources.AS_GUESSED,
    lab: Lab | str | Path | None = None,
    track: Track = silent,
    say: Say = silent_say,
) -> "CorruptionEvaluation":
    """Evaluate a run on corrupted copies of a labelled source; write `corruptions.json`.

    The corruptions are the eleven of MedMNIST-C for blood cells, each at five severities.

    Args:
        run: The folder of a run or an ensemble, or the name of a shipped model.
        source: Labelled images; of a source with a split of its own, its test part.
        out: Folder to write to; by default one in the run folder; of a shipped model one in
            `evaluations/MODEL` in the current directory.
        seed: Seed of the corruptions and of the bootstrap intervals, 0 or more.
        engine: The inference engine, as in `Classifier.load`.
        inference: Test-time augmentation and filter. The name of the result says what differs from
            the default, as in `evaluate`.
        options: How the source is read, as in `evaluate`. Unreadable images that it skips are not
            among the images of the result.
        lab: A laboratory profile or its file, by which images are standardised first. The name of
            the result says what it changes.
        track: Shows progress.
        say: Called with the folder that an evaluation of a shipped model is written to, with the
            images that are skipped, and with a line if an ensemble contains a laboratory profile.

    Raises:
        ConfigError: The seed is below 0, or the engine is unknown or not installed.
        CheckpointError: The run folder or the profile cannot be used.
        DataError: An image cannot be read, or has a class that the model does not know.
    """
    from stainproof.evaluation.corrupted import evaluate_corrupted

    evaluated, classifier, listing = open_evaluation(
        run,
        source,
        seed=seed,
        engine=engine,
        inference=inference,
        options=options,
        lab=lab,
        track=track,
        say=say,
    )
    if options.skip_unreadable:
        num = len(listing)
        listing = sources.without_unreadable(listing, track)
        if len(listing) < num:
            say(f"{listing.source}: {listing.notes[0]}")
    listing = replace(listing, source=name_evaluation(listing.source, classifier))
    folder = choose_folder(evaluated, out, f"{listing.source}, corrupted", say)
    return evaluate_corrupted(classifier, listing, folder, seed=seed, track=track)
