"""The interface of the page: cells, decisions, undo, count, agreement, exports."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from stainproof.data.decoding import decode
from stainproof.errors import DataError, StainproofError
from stainproof.evaluation.cell_names import is_white
from stainproof.evaluation.count_result import UNCLASSIFIED
from stainproof.serve import exports
from stainproof.serve.checks import SessionCheck
from stainproof.serve.counting import Summary
from stainproof.serve.haematology import loinc_codes, ordered, title
from stainproof.serve.review import Agreement, CellView, Review
from stainproof.serve.routes_v1 import REFUSALS, REFUSALS_OF_FILES, ModelInfo, model_info
from stainproof.serve.services import Parts, PreparedCell, Services
from stainproof.serve.uploads import BODY, Refused, decode_all, read_files
from stainproof.text import printable

router = APIRouter(prefix="/api")

CHUNK = 32
"""Files of the folder that one request reads."""
MAX_ID = 2**53
Reviewer = Annotated[int, Query(ge=1, le=2, description="Who reviews")]
CellId = Annotated[int, Path(ge=1, le=MAX_ID)]


class ClassInfo(BaseModel):
    """A class as the page shows it."""

    name: str
    title: str
    loinc: str | None
    is_white: bool


class FolderInfo(BaseModel):
    """The folder that the server was started with."""

    name: str
    num_images: int
    notes: list[str]


class SessionState(BaseModel):
    """Everything that the page shows, as one reviewer sees it."""

    model: ModelInfo
    classes: list[ClassInfo]
    cells: list[CellView]
    is_blind: bool
    uncertain: str
    """Which cells are uncertain, as sentences."""
    has_fields: bool
    """Whether images are photographs of a smear, whose cells are found first."""
    session: str | None
    """Name of the session file; None if nothing is kept."""
    folder: FolderInfo | None
    num_files: int
    """Files that one request may have."""
    body_bytes: int


class Changed(BaseModel):
    """The cells that a request changed."""

    cells: list[CellView]


class Added(Changed):
    """The cells that were added, and what was not."""

    num_known: int
    """Files with the pixels of a cell that was there already."""
    refused: list[Refused]
    next: int | None = None
    """Where the folder goes on; None at its end, and for uploads."""


class Decide(BaseModel):
    """Give cells a class, or confirm the one that they have."""

    model_config = ConfigDict(extra="forbid", strict=True)

    cells: list[Annotated[int, Field(ge=1, le=MAX_ID)]] = Field(min_length=1, max_length=100_000)
    label: str | None = None
    """A class or `unclassified`; null confirms."""


class Blind(BaseModel):
    """Turn the blind mode on or off."""

    model_config = ConfigDict(extra="forbid", strict=True)

    is_blind: bool


class ReadFolder(BaseModel):
    """Read the next images of the folder."""

    model_config = ConfigDict(extra="forbid", strict=True)

    start: int = Field(0, ge=0, le=MAX_ID)


@router.get("/session")
def session(parts: Parts, reviewer: Reviewer = 1) -> SessionState:
    """Return the session as a reviewer sees it."""
    review = review_of(parts, reviewer)
    limits, folder = parts.settings.limits, parts.folder
    codes = loinc_codes(parts.classifier.classes)
    return SessionState(
        model=model_info(parts),
        classes=[
            ClassInfo(name=name, title=title(name), loinc=codes.get(name), is_white=is_white(name))
            for name in ordered(parts.classifier.classes)
        ],
        cells=review.views(),
        is_blind=parts.store.is_blind,
        uncertain=parts.uncertainty.rule,
        has_fields=parts.settings.has_fields,
        session=parts.settings.session.name if parts.settings.session else None,
        folder=folder
        and FolderInfo(
            name=printable(folder.folder.resolve().name),
            num_images=len(folder.images),
            notes=list(folder.notes()),
        ),
        num_files=limits.num_files,
        body_bytes=limits.body_bytes,
    )


@router.post("/cells", responses=REFUSALS_OF_FILES, openapi_extra=BODY)
async def add_cells(request: Request, parts: Parts, reviewer: Reviewer = 1) -> Added:
    """Classify the images in the field `images` and add them to the session."""
    limits = parts.settings.limits
    files = await read_files(request, limits)
    found = await decode_all(files, limits, parts.pool, parts.prepare)
    return await _added(parts, reviewer, found, [""] * len(found))


@router.post("/folder", responses={404: REFUSALS[404], 503: REFUSALS[503]})
async def read_folder(asked: ReadFolder, parts: Parts, reviewer: Reviewer = 1) -> Added:
    """Classify the next images of the server's folder and add them to the session."""
    if parts.folder is None:
        raise HTTPException(404, "no folder; start the server with --folder")
    tree = parts.folder
    chosen = tree.images[asked.start : asked.start + CHUNK]
    paths = [path.resolve() for path in chosen]
    loop = asyncio.get_running_loop()

    def prepare(index: int) -> list[PreparedCell] | Refused:
        name = printable(chosen[index].relative_to(tree.folder))
        try:
            return parts.prepare(name, decode(paths[index], parts.bits).rgb)
        except DataError as error:
            return Refused(name=name, error=str(error).removeprefix(f"{paths[index]}: "))

    found = await asyncio.gather(
        *(loop.run_in_executor(parts.pool, prepare, index) for index in range(len(chosen)))
    )
    added = await _added(parts, reviewer, found, [str(path) for path in paths])
    end = asked.start + len(chosen)
    added.next = end if end < len(tree.images) else None
    return added


async def _added(
    parts: Services, reviewer: int, found: list[list[PreparedCell] | Refused], paths: list[str]
) -> Added:
    cells = [
        (cell, path)
        for one, path in zip(found, paths, strict=True)
        for cell in ([] if isinstance(one, Refused) else one)
    ]
    refused = [one for one in found if isinstance(one, Refused)]
    parts.instruments.refused.inc(len(refused))
    ids = await parts.add([one for one, _ in cells], [path for _, path in cells])
    review = review_of(parts, reviewer)
    changed = await asyncio.to_thread(changes, review, ids)
    return Added(**dict(changed), num_known=len(cells) - len(ids), refused=refused)


@router.get("/cells/{cell}/picture", responses={404: REFUSALS[404]}, response_class=Response)
def picture(cell: CellId, parts: Parts) -> Response:
    """Return the picture of a cell as PNG."""
    content = parts.store.picture(cell)
    if content is None:
        raise HTTPException(404, "no such cell")
    headers = {"Cache-Control": "private, max-age=86400"}
    return Response(content, media_type="image/png", headers=headers)


@router.get(
    "/cells/{cell}/explanation",
    responses={404: REFUSALS[404], 409: REFUSALS[409]},
    response_class=Response,
)
def explanation(cell: CellId, parts: Parts, reviewer: Reviewer = 1) -> Response:
    """Return the picture of a cell with a map of what supports its predicted class (Layer-CAM)."""
    content = parts.store.picture(cell)
    if content is None:
        raise HTTPException(404, "no such cell")
    if review_of(parts, reviewer).views([cell])[0].predicted is None:
        raise HTTPException(409, "the predicted class of this cell is hidden")
    try:
        return Response(parts.explain(content), media_type="image/png")
    except StainproofError as error:
        raise HTTPException(409, str(error)) from error


@router.post("/decisions")
def decide(asked: Decide, parts: Parts, reviewer: Reviewer = 1) -> Changed:
    """Give cells a class or confirm it; the answer comes once the decision is on the disk."""
    allowed = (*parts.classifier.classes, UNCLASSIFIED)
    if asked.label is not None and asked.label not in allowed:
        raise HTTPException(422, f"label: allowed: {', '.join(allowed)}")
    review = review_of(parts, reviewer)
    return changes(review, review.decide(asked.cells, asked.label))


@router.post("/undo")
def undo(parts: Parts, reviewer: Reviewer = 1) -> Changed:
    """Take back the reviewer's last step; without one nothing changes."""
    return changes(review_of(parts, reviewer), parts.store.undo(reviewer))


@router.post("/blind")
def blind(asked: Blind, parts: Parts, reviewer: Reviewer = 1) -> Changed:
    """Hide the predicted class of a random tenth of the cells until they are decided."""
    parts.store.set_blind(asked.is_blind)
    review = review_of(parts, reviewer)
    return Changed(cells=review.views())


@router.get("/count")
def count(parts: Parts, reviewer: Reviewer = 1) -> Summary | None:
    """Return the differential count: the reviewer's classes, and the model's for other cells."""
    return parts.counting.of_review(review_of(parts, reviewer))


@router.get("/check", responses={409: REFUSALS[409], 503: REFUSALS[503]})
def check(parts: Parts) -> SessionCheck | None:
    """Return whether the cells look like the training cells; null if this cannot be said."""
    try:
        return parts.checks.of_session(
            parts.store, lambda picture: parts.to_input(parts.decode(picture))
        )
    except DataError as error:
        raise HTTPException(409, str(error)) from error


@router.get("/agreement")
def agreement(parts: Parts, reviewer: Reviewer = 1) -> Agreement:
    """Return the agreement of the reviewers, and of this one with the model."""
    return review_of(parts, reviewer).agreement()


@router.get("/export/{name}", responses={409: REFUSALS[409]}, response_class=Response)
def export(name: exports.ExportName, parts: Parts, reviewer: Reviewer = 1) -> Response:
    """Return an export as a file to save."""
    try:
        content, media_type = exports.make(name, parts, review_of(parts, reviewer))
    except DataError as error:
        raise HTTPException(409, str(error)) from error
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers=headers)


def review_of(parts: Services, reviewer: int) -> Review:
    """Return the session as a reviewer sees it."""
    below = parts.uncertainty.below
    return Review(parts.store, parts.classifier.classes, reviewer, below)


def changes(review: Review, ids: list[int]) -> Changed:
    """Return cells as the reviewer sees them now."""
    return Changed(cells=review.views(ids))
