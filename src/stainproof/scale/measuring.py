"""Measurements of the audit on a Ray cluster; all other checks compare images in one process."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from stainproof.audit.measurements import Measurements, measure
from stainproof.data.listing import Listing
from stainproof.progress import Track, silent
from stainproof.scale.cluster import cluster

PART_SIZE = 1000


def measure_on_cluster(listing: Listing, track: Track = silent, *, address: str) -> Measurements:
    """Read and measure the images of a source in parts of 1,000, as `measurements.measure` does.

    Args:
        listing: The source, on storage that all machines share.
        track: Shows progress.
        address: Of the cluster, see `scale.cluster`.

    Raises:
        ConfigError: The cluster cannot be used.
    """
    starts = range(0, len(listing), PART_SIZE)

    def calls() -> Iterator[Callable[[], Measurements]]:
        for start in starts:
            yield partial(measure, _part(listing, start, start + PART_SIZE))

    found = Measurements.empty(len(listing))
    with cluster(address) as there:
        for index, part in track(there.run(calls()), "reading images", len(starts)):
            found.fill(starts[index], part)
    return found


def _part(listing: Listing, start: int, stop: int) -> Listing:
    """Return consecutive images of a listing."""
    return replace(
        listing,
        names=listing.names[start:stop],
        labels=listing.labels[start:stop],
        paths=listing.paths[start:stop],
        arrays=None if listing.arrays is None else listing.arrays[start:stop],
        groups=None,
        parts=None,
    )
