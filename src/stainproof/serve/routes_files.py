"""The page itself: its few files, read once, and the login."""

import asyncio
from functools import cache
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.responses import RedirectResponse

from stainproof.serve.page_files import MEDIA_TYPES, page_contents
from stainproof.serve.security import COOKIE, same
from stainproof.serve.services import Parts

router = APIRouter(include_in_schema=False)

WRONG_KEY_DELAY_S = 0.5


@cache
def page_files() -> dict[str, Response]:
    """Return name -> answer for each file of the page; nothing else is served."""
    return {
        name: Response(
            content,
            media_type=MEDIA_TYPES[Path(name).suffix],
            headers={"Cache-Control": "no-cache"},
        )
        for name, content in page_contents().items()
    }


@router.get("/")
async def index() -> Response:
    """Return the page."""
    return page_files()["index.html"]


@router.get("/page/{name}")
async def page_file(name: str) -> Response:
    """Return a file of the page."""
    if name not in page_files():
        raise HTTPException(404, "no such file")
    return page_files()[name]


@router.get("/login")
async def login_form() -> Response:
    """Ask for the API key."""
    return page_files()["login.html"]


@router.post("/login")
async def login(request: Request, parts: Parts) -> Response:
    """Exchange the API key for a cookie."""
    async with request.form(max_files=0, max_fields=4) as form:
        given = str(form.get("key", ""))
    if not parts.settings.api_key or not same(given, parts.settings.api_key):
        await asyncio.sleep(WRONG_KEY_DELAY_S)
        return RedirectResponse("/login?wrong", 303)
    response = RedirectResponse("/", 303)
    ticket = request.scope["stainproof.ticket"]
    response.set_cookie(COOKIE, ticket, httponly=True, samesite="strict")
    return response
