"""Smallest possible submission: it labels every cell a neutrophil. Zip this file and submit it.

Images are uint8 (n, 96, 96, 3), RGB. Labels, in the order of BloodMNIST: 0 basophil, 1 eosinophil,
2 erythroblast, 3 immature granulocyte, 4 lymphocyte, 5 monocyte, 6 neutrophil, 7 platelet.
"""

import numpy as np


class Model:
    """The constructor takes no arguments; it loads files from the folder of this file."""

    def predict(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
        """Return the label of every image, int64 (n,)."""
        return np.full(len(X), 6, dtype=np.int64)
