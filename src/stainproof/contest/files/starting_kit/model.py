"""The smallest submission: it calls every cell a neutrophil. Put it into a zip, alone, and submit.

Images come as uint8 (n, 96, 96, 3), RGB. The classes, in the order of BloodMNIST: 0 basophil,
1 eosinophil, 2 erythroblast, 3 immature granulocyte, 4 lymphocyte, 5 monocyte, 6 neutrophil,
7 platelet.
"""

import numpy as np


class Model:
    """Has a constructor without arguments; reads what it needs from beside this file."""

    def predict(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
        """Return the class of every image, int64 (n,)."""
        return np.full(len(X), 6, dtype=np.int64)
