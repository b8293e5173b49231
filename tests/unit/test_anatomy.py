from stainproof.labels import BLOOD_CLASSES
from stainproof.synthetic.anatomy import ANATOMY


def test_there_is_an_anatomy_for_every_class_in_order() -> None:
    assert tuple(ANATOMY) == BLOOD_CLASSES
