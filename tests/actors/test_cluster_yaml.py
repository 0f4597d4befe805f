"""cluster.yaml is what Ray's cluster launcher takes, and says what this project needs."""

from __future__ import annotations

import copy
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def config() -> dict[str, Any]:
    """The file as it is."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    return loaded


def test_ray_accepts_it(config) -> None:
    """Ray's own preparation and validation find nothing wrong, and keep our node types."""
    prepared = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    types = prepared["available_node_types"]
    assert set(types) == {"head", "gpu"}
    assert (types["gpu"]["min_workers"], types["gpu"]["max_workers"]) == (0, config["max_workers"])
    assert types["gpu"]["resources"]["GPU"] == 1
    assert prepared["head_node_type"] == "head" and types["head"]["resources"]["CPU"] == 0


@pytest.mark.parametrize(
    ("key", "value"), [("idle_timeout_minutes", "ten"), ("a_key_nobody_knows", 1)]
)
def test_ray_would_notice(config, key: str, value: object) -> None:
    """The validation is one that refuses: a wrong type and an unknown key do not pass."""
    config[key] = value
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config(config))


def test_what_it_sends_is_there(config) -> None:
    """Files that are copied to the nodes exist here, and what is installed is constrained by
    them.
    """
    for target, source in config["file_mounts"].items():
        assert (ROOT / source).is_file()
        assert any(Path(target).name in command for command in config["setup_commands"])
    assert any("vyre-dist[cuda13]" in command for command in config["setup_commands"])


def test_ray_up_comes_as_far_as_the_credentials(tmp_path: Path) -> None:
    """With the extra `aws` installed, `ray up` stops at nothing but the credentials that are
    missing.
    """
    pytest.importorskip("boto3", reason="pip install '.[aws]', which `ray up` needs for AWS")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "RAY_"))}
    done = subprocess.run(
        [sys.executable, "-m", "ray.scripts.scripts", "up", "--yes", "cluster.yaml"],
        cwd=ROOT,
        env={**environment, "HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].endswith(
        "NoCredentialsError: Unable to locate credentials"
    ), done.stderr


def test_the_pages_lines_name_what_there_is() -> None:
    """Extras, files and addresses of docs/cluster.md exist; each line for the job server gives its
    address.
    """
    page = (ROOT / "docs" / "cluster.md").read_text()
    lines = [
        line for fence in re.findall(r"(?s)```sh\n(.*?)```", page) for line in fence.splitlines()
    ]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert any("'.[aws]'" in line for line in lines) and "aws" in extras
    for line in lines:
        words = shlex.split(line, comments=True)
        for file in (word for word in words if word.endswith((".yaml", ".txt"))):
            assert (ROOT / file).is_file()
        if "submit" in words:
            assert words[words.index("--address") + 1].removeprefix("http://") == "localhost:8265"
            # Ray's own command finds no cluster where none runs, and takes no address without a
            # scheme for HTTP
            assert words[0] != "ray" or "http://localhost:8265" in words
