"""deploy/kubernetes: manifests that say what they mean, and a RayJob whose scan runs as a job."""

from __future__ import annotations

import copy
import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml
from kubernetes_schema import MANIFESTS

import vyre_dist
from vyre_dist.cli.main import cli

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
Manifest = dict[str, Any]


def read(name: str) -> Manifest:
    loaded: Manifest = yaml.safe_load((FOLDER / name).read_text())
    return loaded


def cluster_of(name: str) -> Manifest:
    """The specification of a file's cluster."""
    spec: Manifest = read(name)["spec"]
    return spec.get("rayClusterSpec", spec)


def pods(cluster: Manifest) -> Iterator[Manifest]:
    """The templates of its pods, the head's first."""
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        yield group["template"]


def test_every_manifest_is_tested() -> None:
    """The folder has no other ones."""
    assert {path.name for path in FOLDER.glob("*.yaml")} == set(MANIFESTS)


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_are_valid(name: str) -> None:
    """Each has the fields of its kind, and no others."""
    jsonschema.validate(read(name), MANIFESTS[name])


def misspell(manifest: Manifest) -> None:
    manifest["spec"]["rayClusterSpecs"] = manifest["spec"].pop("rayClusterSpec")


def drop_image(manifest: Manifest) -> None:
    del manifest["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0][
        "image"
    ]


def number_for_text(manifest: Manifest) -> None:
    manifest["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0


@pytest.mark.parametrize("plant", [misspell, drop_image, number_for_text])
def test_mistakes_would_be_noticed(plant: Callable[[Manifest], None]) -> None:
    """The validation is one that refuses."""
    manifest = copy.deepcopy(read("rayjob.yaml"))
    plant(manifest)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest, MANIFESTS["rayjob.yaml"])


def test_both_clusters_are_the_same() -> None:
    """What is told of one holds for the other."""
    assert cluster_of("rayjob.yaml") == cluster_of("raycluster.yaml")


def test_the_cluster_fits_the_project() -> None:
    """Ray's version is the constraints', the image this version's, the head holds no worker, and a
    pod's Ray has the processors and GPUs that the pod has.
    """
    cluster = cluster_of("raycluster.yaml")
    constraints = (ROOT / "constraints.txt").read_text()
    assert re.search(rf"(?m)^ray==({re.escape(cluster['rayVersion'])})\b", constraints)
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for pod in pods(cluster):
        (container,) = pod["spec"]["containers"]
        assert container["image"].endswith(f"/vyre-dist:{vyre_dist.__version__}")
    for group in cluster["workerGroupSpecs"]:
        resources = group["template"]["spec"]["containers"][0]["resources"]
        assert resources["requests"] == resources["limits"]
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    assert [
        "nvidia.com/gpu" in group["template"]["spec"]["containers"][0]["resources"]["limits"]
        for group in cluster["workerGroupSpecs"]
    ] == [group["groupName"] == "gpu" for group in cluster["workerGroupSpecs"]]


def test_volumes_are_there() -> None:
    """Every pod mounts the persistent volume, the data for reading only, and enough shared
    memory.
    """
    claim = read("volume.yaml")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for pod in pods(cluster_of("raycluster.yaml")):
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        mounts = {
            mount["mountPath"]: mount for mount in pod["spec"]["containers"][0]["volumeMounts"]
        }
        assert set(volumes) == {mount["name"] for mount in mounts.values()}
        runs = volumes[mounts["/runs"]["name"]]["persistentVolumeClaim"]
        assert runs == {"claimName": claim["metadata"]["name"]}
        assert mounts["/data"]["readOnly"]
        assert volumes[mounts["/dev/shm"]["name"]]["emptyDir"]["medium"] == "Memory"  # noqa: S108


def test_the_job_goes_on_with_its_run_on_the_volume() -> None:
    """All that its command writes is there, and it may be tried again."""
    spec = read("rayjob.yaml")["spec"]
    command = shlex.split(spec["entrypoint"])
    options = dict(pairwise(command))
    assert "--resume-if-begun" in command and spec["backoffLimit"] > 0
    for option in ("--run-dir", "-o", "--report"):
        assert options[option].startswith("/runs/")


def test_the_policy_is_about_these_pods() -> None:
    """Its labels are those of every pod."""
    wanted = read("network.yaml")["spec"]["podSelector"]["matchLabels"].items()
    for pod in pods(cluster_of("raycluster.yaml")):
        assert wanted <= pod["metadata"]["labels"].items()


def test_the_image_has_what_is_copied() -> None:
    """Every file that the Dockerfile names is there, and it installs an extra that there is."""
    text = (FOLDER / "Dockerfile").read_text()
    copied = [name for line in re.findall(r"(?m)^COPY (.*) \S+$", text) for name in line.split()]
    assert "pyproject.toml" in copied and all((ROOT / name).exists() for name in copied)
    (extra,) = re.findall(r"/src\[(\w+)\]", text)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert extra in project["optional-dependencies"]
    # what the package is made of, its links' targets too
    assert {"vyre_dist", "actors", "kernels"} <= set(copied)


def test_comments_name_commands_that_there_are() -> None:
    """The lines of a manifest's head that are ours parse, and name files of the folder."""
    for name in MANIFESTS:
        text = (FOLDER / name).read_text()
        for line in re.findall(r"(?m)^#   (.*?)(?:   #.*)?$", text):
            words = shlex.split(line)
            for word in words:
                assert not word.startswith("deploy/") or (ROOT / word).is_file(), word
            if words[0] == "vyre-dist":
                parsed(words[1:])


def parsed(arguments: list[str]) -> None:
    """Have click read the arguments, and those behind a `--`."""
    command = cli.get_command(click.Context(cli), arguments[0])
    assert command is not None
    command.make_context(arguments[0], arguments[1:])
    if "--" in arguments:
        parsed(arguments[arguments.index("--") + 1 :])


def test_the_entrypoint_runs_as_a_job(head, tmp_path: Path) -> None:
    """The RayJob's own command, on other folders: the outputs are in the volume, and Ray shows the
    job as SUCCEEDED though something was found.
    """
    (tmp_path / "data").mkdir()
    (tmp_path / "runs").mkdir()
    shutil.copy(ROOT / "examples" / "web" / ".npmrc", tmp_path / "data")
    entrypoint = read("rayjob.yaml")["spec"]["entrypoint"]
    command = shlex.split(entrypoint)
    assert command[:2] == ["vyre-dist", "scan"]
    parsed(command[1:])
    places = {"/data": tmp_path / "data", "/runs": tmp_path / "runs"}
    for place, own in places.items():
        command = [re.sub(rf"^{place}(?=/|$)", str(own), word) for word in command]
    done = head.vyre("submit", "--address", head.http, "--", *command[1:])
    assert done.returncode == 1, done.stdout + done.stderr
    job = done.stderr.split()[0]
    assert head.ask("GET", f"/api/jobs/{job}").json()["status"] == "SUCCEEDED"
    # another try, after a pod was lost, is the same command
    assert (tmp_path / "runs" / "scan" / "run.json").is_file()
    report = json.loads((tmp_path / "runs" / "report.json").read_text())
    assert report["complete"] and report["pool"] == "ray" and report["findings"] == 1
    assert len((tmp_path / "runs" / "found.jsonl").read_text().splitlines()) >= 1
