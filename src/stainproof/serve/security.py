"""Who may ask: host names, origins, API key; and what a browser may do with the answers."""

import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stainproof.serve.settings import Settings, is_loopback

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""The page loads nothing from anywhere else and sends nothing to anywhere else."""
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
COOKIE = "stainproof"
OPEN_PATHS = frozenset({"/healthz", "/login"})
"""What is answered without an API key."""
OPEN_PREFIX = "/page/"
READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """Middleware that refuses requests of other sites and of clients without the API key.

    A loopback server answers only to names of this machine, so that another site cannot reach it
    through a host name of its own (DNS rebinding). A request that changes something must come from
    the page itself or from no page at all (cross-site request forgery).
    """

    def __init__(self, app: ASGIApp, settings: Settings):
        self.app, self.settings = app, settings
        self.ticket = secrets.token_urlsafe(32)
        """Value of the cookie that stands for the API key until the server stops."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse with 400, 401 or 403."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        scope["stainproof.ticket"] = self.ticket
        refusal = self._refusal(scope)
        if not refusal:
            await self.app(scope, receive, secured)
        elif refusal[0] == 401 and scope["path"] == "/":
            await RedirectResponse("/login", 303)(scope, receive, secured)
        else:
            await JSONResponse({"detail": refusal[1]}, refusal[0])(scope, receive, secured)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.settings.is_local and not _is_local_host(host):
            return 400, "Host: allowed: names of this machine, such as 127.0.0.1"
        if scope["method"] not in READING and not _is_same_origin(headers, host):
            return 403, "Origin: allowed: this server itself"
        path = scope["path"]
        is_open = path in OPEN_PATHS or path.startswith(OPEN_PREFIX)
        if self.settings.api_key and not is_open and not self._has_key(headers):
            return 401, "API key: send it as 'Authorization: Bearer KEY', or log in at /login"
        return None

    def _has_key(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and same(given, self.settings.api_key):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and same(cookie.value, self.ticket)


def same(given: str, expected: str) -> bool:
    """Return whether two secrets are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def _is_local_host(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name is not None and is_loopback(name)


def _is_same_origin(headers: Headers, host: str) -> bool:
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc == host
    except ValueError:
        return False
