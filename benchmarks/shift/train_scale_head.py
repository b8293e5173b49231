"""Train the scale head that the package ships, and measure the cells that it was trained on.

python -m benchmarks.shift.train_scale_head --data clean.csv --out src/stainproof/shift

Self-supervised: the network gets a crop of a training cell and learns how much smaller than the
whole image the crop is. No label of a cell is used except to draw the classes equally often.
"""

import argparse
import io
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from stainproof import files
from stainproof.augment.augmenter import Augmenter
from stainproof.config.recipes import RECIPES, Recipe
from stainproof.config.schema import Preprocessing
from stainproof.data import sources
from stainproof.data.dataset import Dataset
from stainproof.data.images import Images
from stainproof.shift.appearance import measure_appearance
from stainproof.shift.scale_head import INPUT_PX, LOG_MAGNIFICATIONS

CELL_PX = 96
MAX_OFFSET = 0.12
"""Largest distance of a crop's centre from the image's, as a fraction of the crop."""
BIN_WIDTH = LOG_MAGNIFICATIONS[1] - LOG_MAGNIFICATIONS[0]
WITHOUT = ("overlays", "geometry")
MORE_OFTEN = 2.0
"""Factor by which the operations of the recipe are more frequent than in the training of cells."""


class ScaleNetwork(nn.Module):
    """RGB images in [0, 1] (b, 3, 40, 40) to logits (b, bins) over log magnifications."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for filters, stride in ((16, 2), (32, 1), (48, 2), (64, 1), (96, 2), (64, 1)):
            layers += [
                nn.Conv2d(channels, filters, 3, stride, 1, bias=False),
                nn.BatchNorm2d(filters),
                nn.ReLU(),
            ]
            channels = filters
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(2 * channels, len(LOG_MAGNIFICATIONS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (b, bins)."""
        found = self.features(x - 0.5)
        return self.head(torch.cat([found.mean((2, 3)), found.amax((2, 3))], dim=1))


def crops(
    images: Images, indices: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Images, NDArray[np.float32]]:
    """Return crops uint8 (n, 40, 40, 3) of random sides near the centre, and log magnifications."""
    magnification = np.exp(rng.uniform(LOG_MAGNIFICATIONS[0], LOG_MAGNIFICATIONS[-1], len(indices)))
    sides = np.clip(np.rint(CELL_PX / magnification), 1, CELL_PX).astype(int)
    made = np.empty((len(indices), INPUT_PX, INPUT_PX, 3), dtype=np.uint8)
    for row, (index, side) in enumerate(zip(indices, sides, strict=True)):
        room = (CELL_PX - side) // 2
        reach = min(room, int(MAX_OFFSET * side))
        top, left = room + rng.integers(-reach, reach + 1, size=2)
        crop = images[index][top : top + side, left : left + side]
        made[row] = cv2.resize(crop, (INPUT_PX, INPUT_PX), interpolation=cv2.INTER_AREA)
    return made, np.log(CELL_PX / sides).astype(np.float32)


def recipe() -> Recipe:
    """Return the recipe `stainproof` with its operations applied more often."""
    settings = Recipe(**RECIPES["stainproof"])
    operations = {
        name: one.model_copy(update={"probability": min(1.0, MORE_OFTEN * one.probability)})
        for name, one in settings.operations.items()
    }
    often = {"operations": operations, "family_probability": 0.5}
    return settings.model_copy(update=often)


def soft_targets(log_magnification: torch.Tensor) -> torch.Tensor:
    """Return probabilities (b, bins): a Gaussian of one bin's width about each value."""
    centres = torch.tensor(LOG_MAGNIFICATIONS)
    return F.softmax(-0.5 * ((log_magnification[:, None] - centres) / BIN_WIDTH) ** 2, dim=1)


def train(data: Dataset, steps: int, batch_size: int, seed: int) -> ScaleNetwork:
    """Return a network trained for a number of steps."""
    torch.manual_seed(seed)
    rng, chosen = np.random.default_rng(seed), recipe()
    network = ScaleNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    by_class = [np.flatnonzero(data.labels == label) for label in range(len(data.classes))]
    began = time.perf_counter()
    losses = []
    for step in range(steps):
        classes = rng.integers(len(by_class), size=batch_size)
        indices = np.array([rng.choice(by_class[label]) for label in classes])
        cells, log_magnification = crops(data.images, indices, rng)
        augmenter = Augmenter(cells, chosen, seed, without=WITHOUT)
        batch = torch.from_numpy(augmenter.batch(np.arange(batch_size), step))
        logits = network(batch.permute(0, 3, 1, 2).float() / 255)
        loss = F.cross_entropy(logits, soft_targets(torch.from_numpy(log_magnification)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % 50 == 49:
            elapsed_s = time.perf_counter() - began
            print(
                f"step {step + 1}  loss {np.mean(losses[-50:]):.3f}  {elapsed_s:.0f} s", flush=True
            )
    return network.eval()


def export(network: ScaleNetwork) -> bytes:
    """Return the network as ONNX: images float32 (b, 3, 40, 40) in [0, 1] to logits (b, bins)."""
    stream = io.BytesIO()
    example = torch.zeros(1, 3, INPUT_PX, INPUT_PX)
    torch.onnx.export(
        network, (example,), stream, input_names=["images"], output_names=["logits"],
        dynamo=False, dynamic_axes={"images": {0: "b"}, "logits": {0: "b"}},
    )  # fmt: skip
    return stream.getvalue()


def main(arguments: list[str] | None = None) -> None:
    """Train, print the error on held-out training cells, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="the audited training set")
    parser.add_argument("--out", type=Path, required=True, help="folder of the two files")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    data = sources.load(options.data, Preprocessing(size_px=CELL_PX))
    held_out = np.arange(0, len(data), 20)
    kept = np.setdiff1d(np.arange(len(data)), held_out)
    network = train(data.subset(kept), options.steps, options.batch, options.seed)
    cells, truth = crops(data.images, held_out, np.random.default_rng(1))
    with torch.inference_mode():
        logits = network(torch.from_numpy(cells).permute(0, 3, 1, 2).float() / 255)
    said = logits.softmax(1).numpy() @ LOG_MAGNIFICATIONS
    error = 100 * np.median(np.abs(np.expm1(said - truth)))
    print(f"median error on {len(held_out)} held-out cells: {error:.1f} %")
    files.write_bytes(options.out / "scale_head.onnx", export(network))
    measure_appearance(data.images[held_out]).write(options.out / "pbc.json")


if __name__ == "__main__":
    main()
