"""No command opens a network connection or writes to the home folder.

The programs run in a process of their own, whose home folder is empty. Connections from Python end
it; those of native libraries are seen where strace is installed.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUARD = """
import os, sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        os.write(2, f"network used: {event} {arguments}".encode())
        os._exit(3)
sys.addaudithook(refuse)
"""
IMPORTS = """
from importlib.util import find_spec
from stainproof.inference.engines import installed
for name in installed():
    if find_spec(name):
        __import__(name)
"""
STAGES = """
from stainproof import api
from stainproof.inference.engines import EXACT, installed
from tests.common.tiny import tiny_config
cells = api.make_phantoms("cells", 80, seed=1, size_px=32)
api.train(cells, "run", tiny_config("training.epochs=1"), audited=True)
api.audit(cells, "audit")
for engine in set(installed()) & set(EXACT):
    api.evaluate("run", cells, f"evaluation-{engine}", engine=engine)
api.predict("run", ["cells"], "predictions.csv")
api.report("run", ["evaluation-onnxruntime"])
"""
ALLOWED = {".cache", ".cache/matplotlib", ".config", ".config/matplotlib"}
"""Where matplotlib keeps its list of fonts."""


def strace(log: Path) -> list[str]:
    """Return the command that writes all connections to a log; empty where it cannot."""
    command = ["strace", "-f", "-e", "trace=connect,sendto", "-o", str(log)]
    if not shutil.which("strace") or subprocess.run([*command, "true"], check=False).returncode:
        return []
    return command


@pytest.mark.slow
@pytest.mark.parametrize(
    "program", [IMPORTS, pytest.param(STAGES, marks=pytest.mark.slow)], ids=["imports", "stages"]
)
def test_no_connection_is_opened_and_the_home_folder_stays_empty(
    program: str, tmp_path: Path
) -> None:
    home, log = tmp_path / "home", tmp_path / "connections"
    home.mkdir()
    ours = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "CI")
    environment = {key: value for key, value in os.environ.items() if key not in ours}
    environment |= {
        "HOME": str(home),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
    }
    done = subprocess.run(
        [*strace(log), sys.executable, "-c", GUARD + program],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    written = {path.relative_to(home).as_posix() for path in home.rglob("*")}
    written -= {path for path in written if path.startswith(".cache/matplotlib/")}
    assert written <= ALLOWED
    if log.exists():
        assert re.findall(r".*AF_INET6?.*", log.read_text()) == []
