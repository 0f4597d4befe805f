"""cluster.yaml is what Ray's cluster launcher takes, and says what this project needs."""

from __future__ import annotations

import copy
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


@pytest.mark.parametrize(("key", "value"), [("idle_timeout_minutes", "ten"), ("a_key_nobody_knows", 1)])
def test_ray_would_notice(config, key: str, value: object) -> None:
    """The validation is one that refuses: a wrong type and an unknown key do not pass."""
    config[key] = value
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config(config))


def test_what_it_sends_is_there(config) -> None:
    """Files that are copied to the nodes exist here, and what is installed is constrained by them."""
    for target, source in config["file_mounts"].items():
        assert (ROOT / source).is_file()
        assert any(Path(target).name in command for command in config["setup_commands"])
    assert any("vyre-dist[cuda13]" in command for command in config["setup_commands"])
