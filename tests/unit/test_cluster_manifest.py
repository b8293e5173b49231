"""The manifest for KubeRay: fields that the types RayJob and RayCluster of its API v1 have."""

import re
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "docs" / "cluster"
FIELDS = {
    "": {"apiVersion", "kind", "metadata", "spec"},
    "spec": {
        "activeDeadlineSeconds", "backoffLimit", "rayClusterSpec", "submitterPodTemplate",
        "metadata", "clusterSelector", "submitterConfig", "managedBy", "deletionStrategy",
        "entrypoint", "runtimeEnvYAML", "jobId", "submissionMode", "entrypointResources",
        "entrypointNumCpus", "entrypointNumGpus", "ttlSecondsAfterFinished",
        "shutdownAfterJobFinishes", "suspend", "schedule",
    },
    "spec.rayClusterSpec": {
        "headGroupSpec", "workerGroupSpecs", "rayVersion", "enableInTreeAutoscaling",
        "autoscalerOptions", "headServiceAnnotations", "suspend",
    },
    "spec.rayClusterSpec.autoscalerOptions": {
        "resources", "image", "imagePullPolicy", "env", "envFrom", "volumeMounts",
        "securityContext", "idleTimeoutSeconds", "upscalingMode",
    },
    "spec.rayClusterSpec.headGroupSpec": {
        "serviceType", "headService", "enableIngress", "rayStartParams", "template",
    },
    "spec.rayClusterSpec.workerGroupSpecs": {
        "groupName", "replicas", "minReplicas", "maxReplicas", "numOfHosts", "rayStartParams",
        "template", "scaleStrategy",
    },
}  # fmt: skip
"""Path -> fields, from rayjob_types.go and raycluster_types.go of KubeRay's API v1."""
REQUIRED = {
    "spec.rayClusterSpec": {"headGroupSpec"},
    "spec.rayClusterSpec.headGroupSpec": {"rayStartParams", "template"},
    "spec.rayClusterSpec.workerGroupSpecs": {
        "groupName", "minReplicas", "maxReplicas", "rayStartParams", "template",
    },
}  # fmt: skip


def at(tree: Any, path: str) -> list[dict[str, Any]]:
    """Return the mappings at a path; a list stands for each of its items."""
    found = [tree]
    for key in filter(None, path.split(".")):
        inner = [one[key] for one in found]
        found = [item for one in inner for item in (one if isinstance(one, list) else [one])]
    return found


def test_the_manifest_has_only_fields_of_kuberays_types_and_all_that_they_need() -> None:
    tree = yaml.safe_load((FOLDER / "rayjob.yaml").read_text())
    assert (tree["apiVersion"], tree["kind"]) == ("ray.io/v1", "RayJob")
    for path, fields in FIELDS.items():
        for one in at(tree, path):
            assert one.keys() <= fields, path
            assert REQUIRED.get(path, set()) <= one.keys(), path
    for group in ("headGroupSpec", "workerGroupSpecs"):
        for one in at(tree, f"spec.rayClusterSpec.{group}"):
            assert all(isinstance(value, str) for value in one["rayStartParams"].values())
            pod = one["template"]["spec"]
            mounted = {mount["name"] for c in pod["containers"] for mount in c["volumeMounts"]}
            assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_manifest_image_and_lock_have_one_version_of_ray() -> None:
    tree = yaml.safe_load((FOLDER / "rayjob.yaml").read_text())
    version = tree["spec"]["rayClusterSpec"]["rayVersion"]
    image = (FOLDER / "Dockerfile").read_text()
    lock = (FOLDER.parents[1] / "requirements" / "ray.lock").read_text()
    assert set(re.findall(r"ray(?:\[train\])?(?::|==)(\d+\.\d+\.\d+)", image)) == {version}
    assert f"\nray[train]=={version}" in lock or f"\nray=={version}" in lock
