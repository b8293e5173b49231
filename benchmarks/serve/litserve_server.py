"""LitServe with the ONNX model of a run, batches of up to 64, in an environment of its own.

python benchmarks/serve/litserve_server.py MODEL.onnx PORT

The environment needs litserve, onnxruntime, pillow and python-multipart.
"""

import io
import sys

import litserve
import numpy as np
import onnxruntime
from PIL import Image

MAX_BATCH, BATCH_TIMEOUT_S = 64, 0.002


class Cells(litserve.LitAPI):  # type: ignore[misc]
    """Decodes one image, runs the network on a batch, returns probabilities."""

    def setup(self, device: str) -> None:
        """Load the network, with one thread for each operation, as stainproof does."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(sys.argv[1], options)
        self.size_px = self.session.get_inputs()[0].shape[1]

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # it reads annotations
        """Return uint8 (size, size, 3)."""
        image = Image.open(io.BytesIO(request["images"].file.read())).convert("RGB")
        return np.asarray(image.resize((self.size_px, self.size_px)))

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Stack images."""
        return np.stack(inputs)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return probabilities."""
        (probs,) = self.session.run(None, {"images": x})
        return np.asarray(probs)

    def unbatch(self, output: np.ndarray) -> list[np.ndarray]:
        """Return one row for each image."""
        return list(output)

    def encode_response(self, output: np.ndarray) -> dict[str, list[float]]:
        """Return the probabilities of one image."""
        return {"probabilities": output.tolist()}


if __name__ == "__main__":
    api = Cells(max_batch_size=MAX_BATCH, batch_timeout=BATCH_TIMEOUT_S)
    server = litserve.LitServer(api, accelerator="cpu")
    server.run(port=int(sys.argv[2]), log_level="warning", generate_client_file=False)
