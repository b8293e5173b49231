"""The programming interface: predict, count, check, models, health, metrics. Keeps no upload."""

import asyncio
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, HTTPException, Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel

from stainproof.data.images import Images
from stainproof.deployment.result import CheckResult
from stainproof.errors import DataError
from stainproof.serve.counting import Summary
from stainproof.serve.services import Parts, Services
from stainproof.serve.uploads import BODY, Refused, decode_all, read_files

router = APIRouter()


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str


Responses = dict[int | str, dict[str, Any]]
REFUSALS: Responses = {
    status: {"model": Problem, "description": description}
    for status, description in {
        400: "Another host name than this server's",
        401: "The API key is missing",
        403: "The request comes from another site",
        404: "There is no such thing",
        409: "The session does not allow it",
        413: "Too many files, or a body that is too large",
        415: "Another kind of body",
        422: "A value is not allowed, or no file can be used",
        503: "Busy; Retry-After says when to try again",
    }.items()
}
REFUSALS_OF_ALL: Responses = {status: REFUSALS[status] for status in (400, 401, 403, 422)}
"""What may be the answer to any request."""
REFUSALS_OF_FILES: Responses = {status: REFUSALS[status] for status in (413, 415, 503)}
"""What may also be the answer to a request with files."""


class ModelInfo(BaseModel):
    """The model that is served."""

    name: str
    classes: list[str]
    size_px: int
    num_parameters: int
    num_networks: int
    weights_sha256: str


class Models(BaseModel):
    """The models that are served."""

    models: list[ModelInfo]


class Prediction(BaseModel):
    """The prediction of one image; with an error there is none."""

    name: str
    label: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] | None = None
    error: str | None = None


class Predictions(BaseModel):
    """The predictions of a request, in the order of its files."""

    model: str
    classes: list[str]
    predictions: list[Prediction]


class CountOfImages(Summary):
    """A differential count of the images of a request."""

    model: str
    refused: list[Refused]


class Health(BaseModel):
    """Whether the server is up."""

    status: Literal["ok"] = "ok"


@router.get("/healthz")
async def healthz() -> Health:
    """Tell that the server answers."""
    return Health()


@router.get("/metrics", response_class=Response)
async def metrics(parts: Parts) -> Response:
    """Return counters and times for Prometheus."""
    return Response(parts.instruments.page(), media_type="text/plain; version=0.0.4")


@router.get("/v1/models")
async def models(parts: Parts) -> Models:
    """Return the model that is served."""
    return Models(models=[model_info(parts)])


@router.post("/v1/predict", responses=REFUSALS_OF_FILES, openapi_extra=BODY)
async def predict(request: Request, parts: Parts) -> Predictions:
    """Predict the class of each image in the field `images`.

    A file that cannot be used has an error instead of a prediction; if none can be used, the status
    is 422.
    """
    classes = parts.classifier.classes
    found, probs = await _classify(request, parts)
    rows = iter(probs.tolist())
    predictions = []
    for one in found:
        if isinstance(one, Refused):
            predictions.append(Prediction(name=one.name, error=one.error))
            continue
        row = next(rows)
        best = max(range(len(classes)), key=row.__getitem__)
        predictions.append(
            Prediction(
                name=one[0],
                label=classes[best],
                probability=row[best],
                probabilities=dict(zip(classes, row, strict=True)),
            )
        )
    return Predictions(model=parts.model_name, classes=list(classes), predictions=predictions)


@router.post("/v1/count", responses=REFUSALS_OF_FILES, openapi_extra=BODY)
async def count(request: Request, parts: Parts) -> CountOfImages:
    """Count the classes among the images in the field `images`, as in a differential."""
    found, probs = await _classify(request, parts)
    summary = await asyncio.to_thread(parts.counting.of_images, probs)
    refused = [one for one in found if isinstance(one, Refused)]
    return CountOfImages(**dict(summary), model=parts.model_name, refused=refused)


@router.post("/v1/check", responses=REFUSALS_OF_FILES, openapi_extra=BODY)
async def check(request: Request, parts: Parts) -> CheckResult:
    """Say what to expect of the model on the images in the field `images`, of one laboratory.

    They need no labels, and 20 or more of them must be usable; the answer has the fields of
    `check.json`. The first check takes longer: it fits the estimates on the model's reference.
    """
    found = await _read(request, parts)
    usable = [one for one in found if not isinstance(one, Refused)]
    names, squares = [name for name, _ in usable], [square for _, square in usable]
    try:
        return await asyncio.to_thread(
            parts.checks.of_images, names, squares, len(found) - len(usable)
        )
    except DataError as error:
        raise HTTPException(422, str(error)) from error


def model_info(parts: Services) -> ModelInfo:
    """Return what is told about the model."""
    classifier = parts.classifier
    return ModelInfo(
        name=parts.model_name,
        classes=list(classifier.classes),
        size_px=classifier.preprocessing.size_px,
        num_parameters=sum(member.card.num_parameters for member in classifier.members),
        num_networks=len(classifier.members),
        weights_sha256=classifier.weights_sha256,
    )


async def _read(request: Request, parts: Services) -> list[tuple[str, Images] | Refused]:
    """Return name and input of every file, or its refusal."""

    def keep(name: str, rgb: Images) -> tuple[str, Images]:
        return name, parts.to_input(rgb)

    limits = parts.settings.limits
    found = await decode_all(await read_files(request, limits), limits, parts.pool, keep)
    parts.instruments.refused.inc(sum(isinstance(one, Refused) for one in found))
    return found


async def _classify(
    request: Request, parts: Services
) -> tuple[list[tuple[str, Images] | Refused], NDArray[np.float32]]:
    """Return name and input of every file, or its refusal, and the probabilities of the usable.

    Raises:
        HTTPException: 422: no file can be used.
    """
    found = await _read(request, parts)
    usable = [one[1] for one in found if not isinstance(one, Refused)]
    if not usable:
        refused = [one for one in found if isinstance(one, Refused)]
        reasons = "; ".join(f"{one.name}: {one.error}" for one in refused[:5])
        raise HTTPException(422, f"no file can be used: {reasons}")
    return found, await parts.classify(usable)
