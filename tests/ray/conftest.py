import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stainproof import api
from tests.common.tiny import tiny_config

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True, scope="session")
def _environment_of_workers() -> None:
    """Let workers import this repository; Ray starts them with the environment of this process."""
    os.environ |= dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "test")
    os.environ |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  # 15 starves on a busy machine


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 400 synthetic cells of 32 pixels, to be read only."""
    return api.make_phantoms(tmp_path_factory.mktemp("data") / "home", 400, seed=1, size_px=32)


@pytest.fixture(scope="session")
def trained(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a tiny training, to be read only."""
    run = tmp_path_factory.mktemp("runs") / "tiny"
    api.train(phantoms, run, tiny_config())
    return run


@pytest.fixture(scope="session")
def machines(_environment_of_workers: None) -> Iterator[Any]:
    """A cluster of two machines of one core each, that is two raylets on this one.

    Tests that start a cluster of their own (`local`) come last: after a second cluster in the same
    process, Ray 2.60 refuses large results of the first one (InvalidAuthToken).
    """
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **SMALL})
    cluster.add_node(num_cpus=1, **SMALL)
    yield cluster
    cluster.shutdown()


SMALL = {"object_store_memory": 100 * 2**20, "include_dashboard": False}
"""Settings of a machine of the cluster."""
