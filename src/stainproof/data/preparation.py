"""Preparation of training data: read a listing without what an audit drops, and split it."""

from dataclasses import replace

from stainproof.config.schema import Config
from stainproof.data import sources
from stainproof.data.dataset import Dataset
from stainproof.data.listing import Listing
from stainproof.data.splits import Split, make_split
from stainproof.progress import Track


def read_and_split(
    listing: Listing, config: Config, dropped: set[str], track: Track
) -> tuple[Dataset, Split]:
    """Read the images that an audit does not drop, and split them.

    Args:
        listing: The source.
        config: Preprocessing, source options, split and seed.
        dropped: Names of the images that are left out.
        track: Shows progress.

    Raises:
        DataError: An image cannot be read, or the classes cannot be split.
    """
    data = sources.read(
        listing, config.preprocessing, options=config.source, leave_out=dropped, track=track
    )
    if dropped:
        data = replace(data, notes=(*data.notes, f"{len(dropped)} images left out by the audit"))
    return data, make_split(data, config.split, config.seed)
