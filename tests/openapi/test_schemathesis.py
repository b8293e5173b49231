"""Requests that Schemathesis makes from the OpenAPI description of the server.

`make test-openapi` says in SCHEMATHESIS where its command is.
"""

import os
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.common.served import Process, train_with_reference, uploads

SCHEMATHESIS = os.environ["SCHEMATHESIS"]
LEFT_OUT = "positive_data_acceptance"
"""That a body fits the description does not make it an image."""


@pytest.mark.timeout(600)
def test_no_request_fails_the_server_and_every_answer_fits_its_description(
    tmp_path: Path,
) -> None:
    run = train_with_reference(tmp_path)
    server = Process(run, "--port", 0, "--folder", tmp_path / "home" / "platelet").wait()
    try:
        check = httpx.post(f"{server.url}/v1/check", files=uploads(10), timeout=60)
        assert check.status_code == 200  # the first one is slow
        words = ["--seed", 1, "--max-examples", 50, "--exclude-checks", LEFT_OUT, "--no-color"]
        done = subprocess.run(
            [SCHEMATHESIS, "run", f"{server.url}/openapi.json", *map(str, words)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        paths = httpx.get(f"{server.url}/openapi.json").json()["paths"]
        num = sum(map(len, paths.values()))
        assert num >= 20 and f"{num} selected / {num} total" in done.stdout
        assert httpx.get(f"{server.url}/healthz").status_code == 200
    finally:
        server.end()
