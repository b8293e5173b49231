import torch

from stainproof.config.schema import Preprocessing
from stainproof.models.preprocessing import to_tensor


def test_preprocessing_scales_and_standardises() -> None:
    images = torch.full((1, 2, 3, 3), 255, dtype=torch.uint8)
    images[..., 1] = 0
    preprocessing = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.25, 0.5, 1.0))
    x_bchw = to_tensor(images, preprocessing)
    assert x_bchw.shape == (1, 3, 2, 3)
    assert x_bchw[0, :, 0, 0].tolist() == [2.0, -1.0, 0.5]
    assert to_tensor(images, Preprocessing())[0, :, 1, 2].tolist() == [1.0, 0.0, 1.0]
    assert images[0, 0, 0].tolist() == [255, 0, 255]
