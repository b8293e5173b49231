"""Prometheus metrics of one server."""

import time

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Instruments:
    """Counters and histograms; no label holds anything that a client chose."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Counter(
            "stainproof_requests", "Requests answered.", ("route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "stainproof_request_seconds",
            "Time to answer a request.",
            ("route",),
            buckets=SECONDS,
            registry=registry,
        )
        self.images = Counter("stainproof_images", "Images classified.", registry=registry)
        self.refused = Counter(
            "stainproof_images_refused", "Files that could not be used.", registry=registry
        )
        self.batch = Histogram(
            "stainproof_batch_images", "Images in a batch.", buckets=IMAGES, registry=registry
        )
        self.waiting = Gauge(
            "stainproof_images_waiting", "Images that wait for the network.", registry=registry
        )

    def page(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self.registry)


class Measured:
    """Middleware that counts requests and their time by route and status."""

    def __init__(self, app: ASGIApp, instruments: Instruments):
        self.app, self.instruments = app, instruments

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request and record it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def record(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, record)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.instruments.requests.labels(route, str(status)).inc()
            self.instruments.seconds.labels(route).observe(time.perf_counter() - start)
