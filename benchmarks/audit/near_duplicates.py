"""Recall of near duplicates by kind of copy, and how the search grows with the data set.

python -m benchmarks.audit.near_duplicates [--most 200000]
"""

import argparse
import time
from collections.abc import Sequence

import cv2
import numpy as np
from scipy.ndimage import rotate

from benchmarks.common.page import made_on, write_section
from stainproof.audit.duplicates import find_near_duplicates, thumbnail
from stainproof.data.images import Images
from stainproof.synthetic import phantoms

NUM_PLANTED = 200
COUNTS = (1_000, 5_000, 20_000, 50_000, 100_000, 200_000)


def jpeg(rgb: Images, quality: int) -> Images:
    """Store and read again."""
    _, data = cv2.imencode(".jpg", rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert bgr is not None
    return np.asarray(bgr[:, :, ::-1], dtype=np.uint8)


def gamma(rgb: Images, power: float) -> Images:
    """Bend the scale of light."""
    return np.asarray(255 * (rgb / 255.0) ** power, dtype=np.uint8)


COPIES = {
    "JPEG quality 50": lambda rgb: jpeg(rgb, 50),
    "JPEG quality 30": lambda rgb: jpeg(rgb, 30),
    "half the size": lambda rgb: cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=3),
    "30 levels brighter": lambda rgb: cv2.add(rgb, (30, 30, 30, 0)),
    "gamma 1.3": lambda rgb: gamma(rgb, 1.3),
    "mirrored, JPEG quality 60": lambda rgb: jpeg(np.ascontiguousarray(rgb[:, ::-1]), 60),
    "turned by 5 degrees": lambda rgb: rotate(rgb, 5, reshape=False, mode="reflect"),
    "cut by 4 px": lambda rgb: cv2.resize(rgb[4:-4, 4:-4], (96, 96)),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure recall by kind of copy, then time by number of images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=5_000, help="among which copies are planted")
    parser.add_argument("--most", type=int, default=max(COUNTS))
    options = parser.parse_args(arguments)
    cells, _ = phantoms.generate(options.cells, seed=31)
    num_planted = min(NUM_PLANTED, options.cells)
    thumbs = np.stack([thumbnail(rgb) for rgb in cells])
    pairs, _, _ = find_near_duplicates(thumbs)
    text = [
        f"{num_planted} copies planted in {options.cells:,} generated images; "
        f"{len(pairs)} pairs are "
        "found "
        "where none is planted.\n",
        "| copy | found |\n|---|---|",
    ]
    for name, change in COPIES.items():
        copies = np.stack([thumbnail(change(rgb)) for rgb in cells[:num_planted]])
        pairs, _, _ = find_near_duplicates(np.concatenate([thumbs, copies]))
        found = {(a, b) for a, b in pairs.tolist()}
        hits = sum((i, len(thumbs) + i) in found for i in range(num_planted))
        text.append(f"| {name} | {100 * hits / num_planted:.1f} % |")
        print(text[-1], flush=True)
    text.append("\n| images | thumbnails, s | search, s | search, µs an image |\n|---|---|---|---|")
    for count in [count for count in COUNTS if count <= options.most]:
        parts, making = [], 0.0
        for start in range(0, count, 10_000):
            cells, _ = phantoms.generate(min(10_000, count - start), seed=start)
            began = time.perf_counter()
            parts.append(np.stack([thumbnail(rgb) for rgb in cells]))
            making += time.perf_counter() - began
        thumbs = np.concatenate(parts)
        began = time.perf_counter()
        find_near_duplicates(thumbs)
        seconds = time.perf_counter() - began
        text.append(f"| {count:,} | {making:.1f} | {seconds:.1f} | {1e6 * seconds / count:.0f} |")
        print(text[-1], flush=True)
    write_section("Near copies", "\n".join([*text, "", made_on()]))


if __name__ == "__main__":
    main()
