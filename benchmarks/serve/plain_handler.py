"""What one would write by hand: a FastAPI handler that decodes an image and runs the classifier.

python -m benchmarks.serve.plain_handler RUN PORT
"""

import io
import sys

import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image

from stainproof.inference.classifier import Classifier


def make_app(run: str) -> FastAPI:
    """Return the application."""
    classifier = Classifier.load(run, "onnxruntime")
    app = FastAPI()

    @app.post("/predict")
    def predict(images: UploadFile) -> dict[str, float]:
        """Return class -> probability."""
        probs = classifier.predict_proba(Image.open(io.BytesIO(images.file.read())))[0]
        return dict(zip(classifier.classes, probs.tolist(), strict=True))

    return app


if __name__ == "__main__":
    uvicorn.run(make_app(sys.argv[1]), port=int(sys.argv[2]), log_level="warning", access_log=False)
