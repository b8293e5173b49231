"""The application: routes, middleware, and how errors become answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import JSONResponse, Response

from stainproof.errors import StainproofError
from stainproof.serve import routes_fields, routes_files, routes_review, routes_v1
from stainproof.serve.admission import BUSY, RETRY_AFTER_S, Admission
from stainproof.serve.batching import BusyError
from stainproof.serve.instruments import Measured
from stainproof.serve.security import Guard
from stainproof.serve.services import Services


def create_app(services: Services) -> FastAPI:
    """Return the application around the parts of a server; it closes them at its end."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        services.close()

    app = FastAPI(
        title="stainproof",
        version=version("stainproof"),
        description="Classes of blood cells, and differential counts.",
        docs_url=None,  # these pages would load scripts from another site
        redoc_url=None,
        responses=routes_v1.REFUSALS_OF_ALL,
        lifespan=lifespan,
        exception_handlers={
            BusyError: _busy,
            StainproofError: _failed,
            RequestValidationError: _invalid,
        },
    )
    app.state.services = services
    for routes in (routes_v1, routes_review, routes_fields, routes_files):
        app.include_router(routes.router)
    # the last one added is the first to see a request
    app.add_middleware(Admission, limits=services.settings.limits)
    app.add_middleware(Guard, settings=services.settings)
    app.add_middleware(Measured, instruments=services.instruments)
    return app


async def _busy(_: Request, __: Exception) -> Response:
    return JSONResponse({"detail": BUSY}, 503, {"Retry-After": str(RETRY_AFTER_S)})


async def _failed(_: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 500)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    place = ".".join(str(part) for part in fault["loc"])
    return JSONResponse({"detail": f"{place}: {fault['msg']}"}, 422)
