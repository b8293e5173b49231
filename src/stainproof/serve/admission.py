"""How much is taken on at once: beyond it, a request is refused at once with 503 or 413."""

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stainproof.serve.settings import Limits
from stainproof.text import size

RETRY_AFTER_S = 1
BUSY = "busy; send the request again after the seconds in Retry-After"


class TooLargeError(Exception):
    """The body of a request is larger than allowed."""


class Admission:
    """Middleware that bounds requests with a body: their number, their size and their time.

    The size is reserved before the body is read, as the header says or as large as allowed; a body
    that turns out larger is not read further.
    """

    def __init__(self, app: ASGIApp, limits: Limits):
        self.app, self.limits = app, limits
        self.num_requests = self.num_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it before its body is read."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        limits = self.limits
        declared = Headers(scope=scope).get("content-length", "")
        reserved = int(declared) if declared.isdecimal() else limits.body_bytes
        if reserved > limits.body_bytes:
            await self._refuse(413, scope, receive, send)
            return
        if (
            self.num_requests >= limits.num_requests
            or self.num_bytes + reserved > limits.pending_bytes
        ):
            with suppress(TimeoutError):
                async with asyncio.timeout(limits.time_s):
                    await discard(receive, limits.body_bytes)
            await self._refuse(503, scope, receive, send)
            return
        self.num_requests += 1
        self.num_bytes += reserved
        try:
            async with asyncio.timeout(limits.time_s):
                await self.app(scope, self._bounded(receive), send)
        except TooLargeError:
            await self._refuse(413, scope, receive, send)
        except TimeoutError:
            await self._refuse(503, scope, receive, send)
        finally:
            self.num_requests -= 1
            self.num_bytes -= reserved

    def _bounded(self, receive: Receive) -> Receive:
        num_bytes = 0

        async def bounded() -> Message:
            nonlocal num_bytes
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes > self.limits.body_bytes:
                raise TooLargeError
            return message

        return bounded

    async def _refuse(self, status: int, scope: Scope, receive: Receive, send: Send) -> None:
        is_busy = status == 503
        detail = BUSY if is_busy else f"body: allowed: {size(self.limits.body_bytes)}"
        headers = {"Retry-After": str(RETRY_AFTER_S)} if is_busy else {"Connection": "close"}
        await JSONResponse({"detail": detail}, status, headers)(scope, receive, send)


async def discard(receive: Receive, max_bytes: int) -> None:
    """Receive a body without keeping it, so that a client that is still sending sees the answer."""
    num_bytes, more = 0, True
    while more and num_bytes <= max_bytes:
        message = await receive()
        num_bytes += len(message.get("body", b""))
        more = message.get("more_body", False)
