"""The photograph of a smear that a cell was cut from, with the boxes of its cells."""

from fastapi import APIRouter, HTTPException, Response
from pydantic import BaseModel

from stainproof.serve.records import StoredField
from stainproof.serve.routes_review import CellId
from stainproof.serve.routes_v1 import REFUSALS
from stainproof.serve.services import Parts

router = APIRouter(prefix="/api/cells/{cell}")


class CellBox(BaseModel):
    """A cell's box in pixels of the field, from its upper left corner."""

    cell: int
    x0: float
    y0: float
    x1: float
    y1: float


class FieldView(BaseModel):
    """A field as the page shows it; no class is told."""

    name: str
    width: int
    """Pixels; the picture of a large field is reduced."""
    height: int
    is_available: bool
    """Whether the picture can be shown: it is in memory, or its file is in the server's folder."""
    boxes: list[CellBox]
    """Of the cells of the session that were cut from it."""


@router.get("/field", responses={404: REFUSALS[404]})
def field(cell: CellId, parts: Parts) -> FieldView:
    """Return the field of a cell with the boxes of all its cells."""
    found = _field_of(cell, parts)
    return FieldView(
        name=found.name,
        width=found.width,
        height=found.height,
        is_available=parts.field_pictures.get(found) is not None,
        boxes=[
            CellBox(cell=one, x0=x0, y0=y0, x1=x1, y1=y1)
            for one, (x0, y0, x1, y1) in found.boxes.items()
        ],
    )


@router.get("/field/picture", responses={404: REFUSALS[404]}, response_class=Response)
def field_picture(cell: CellId, parts: Parts) -> Response:
    """Return the picture of a cell's field as JPEG, while it is available."""
    content = parts.field_pictures.get(_field_of(cell, parts))
    if content is None:
        raise HTTPException(404, "the picture of this field is not available any more")
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


def _field_of(cell: int, parts: Parts) -> StoredField:
    found = parts.store.field_of(cell)
    if found is None:
        raise HTTPException(404, "no such cell, or it was not cut from a field")
    return found
