import numpy as np

from stainproof.synthetic import phantoms
from stainproof.synthetic.imaging import expose


def test_without_dye_the_image_has_the_colour_of_the_lamp() -> None:
    scene = phantoms.Scene(white=(200.0, 150.0, 100.0), white_spread=0, vignetting=0, noise=0)
    rgb = expose(np.random.default_rng(0), np.zeros((40, 40, 3), np.float32), scene)
    assert np.abs(rgb.astype(int) - (200, 150, 100)).max() <= 1


def test_light_falls_tenfold_for_each_unit_of_optical_density() -> None:
    stain = phantoms.Stain(purple=(1.0, 0.5, 0.0), spread=0)
    scene = phantoms.Scene(stain, (200.0, 200.0, 200.0), white_spread=0, vignetting=0, noise=0)
    amounts = np.zeros((40, 40, 3), np.float32)
    amounts[..., 1] = 1
    rgb = expose(np.random.default_rng(0), amounts, scene)
    assert np.abs(rgb.astype(int) - (20, 63, 200)).max() <= 1
