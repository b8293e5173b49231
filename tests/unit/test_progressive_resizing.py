import pytest

from stainproof.config.presets import make_config
from stainproof.training.progressive_resizing import size_px


def test_sizes_grow_in_steps_to_the_full_size_by_two_thirds_of_the_run() -> None:
    config = make_config(assignments=("training.start_scale=0.625",))
    sizes = [size_px(share / 99, config) for share in range(100)]
    assert sizes == sorted(sizes)
    assert sorted(set(sizes)) == [60, 68, 76, 84, 92, 96]
    assert sizes[66] == 96 > sizes[65]
    full = make_config(assignments=("training.start_scale=1",))
    assert {size_px(share / 99, full) for share in range(100)} == {96}


@pytest.mark.parametrize(("full_px", "start_px"), [(16, 16), (28, 16), (224, 22)])
def test_images_never_start_smaller_than_the_network_can_halve(full_px: int, start_px: int) -> None:
    sizes = ("training.start_scale=0.1", f"preprocessing.size_px={full_px}")
    assert size_px(0.0, make_config(assignments=sizes)) == start_px
