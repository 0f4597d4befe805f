"""The contracts of pyproject.toml hold what their names say: what each forbids is planted in a
copy, and seen there.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
NAMES = [contract["name"] for contract in SETTINGS["contracts"]]
LAYERS, RAY, KERNELS, REDIS, AUTOTUNE, CUDA = NAMES
LINT = (
    "import sys; from importlinter.cli import lint_imports_command; "
    "sys.exit(lint_imports_command(['--no-cache']))"
)

# what a contract forbids, and who is free of it: files, or folders with all that is in them
OUTSIDERS = {
    "ray": (RAY, ["vyre_dist/actors/"]),
    "cupy": (KERNELS, ["vyre_dist/kernels/"]),
    "cupy_backends": (KERNELS, ["vyre_dist/kernels/"]),
    "hyperscan": (KERNELS, ["vyre_dist/kernels/"]),
    "redis": (REDIS, ["vyre_dist/autotune/redis_link.py", "vyre_dist/autotune/redis_reasons.py"]),
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The tree, to be planted in; with modules that are new in each package, in a new package, and
    at the top.
    """
    for name in ("vyre_dist", "actors", "kernels"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def add_new_modules(copy: Path) -> None:
    """A module in every package, and a package with one in it."""
    for package in [path.parent for path in modules(copy) if path.name == "__init__.py"]:
        (package / "new_module.py").touch()
    (copy / "vyre_dist" / "engine" / "new_package").mkdir()
    for name in ("__init__.py", "new_module.py"):
        (copy / "vyre_dist" / "engine" / "new_package" / name).touch()


def modules(copy: Path) -> list[Path]:
    """Every module of the package; what is behind a link, too."""
    found = []
    for folder, _, files in os.walk(copy / "vyre_dist", followlinks=True):
        found += [Path(folder) / name for name in files if name.endswith(".py")]
    return sorted(found)


def name_of(copy: Path, module: Path) -> str:
    parts = module.relative_to(copy).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def lint(copy: Path) -> tuple[dict[str, str], str]:
    """What became of each contract, and all that was said."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", LINT],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "COLUMNS": "400"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = done.stdout + done.stderr
    became = dict.fromkeys(NAMES, "?")
    for line in said.splitlines():
        for name in became:
            if line.startswith(name) and became[name] == "?":
                became[name] = line.removeprefix(name).split()[0] if line != name else "?"
    assert (done.returncode == 0) == (set(became.values()) == {"KEPT"}), said
    return became, said


def test_every_module_but_those_named_is_under_its_contract(copy: Path) -> None:
    """One import of each library in every module, also in new ones: each is seen, but for those
    that the names allow.
    """
    assert set(lint(copy)[0].values()) == {"KEPT"}
    add_new_modules(copy)
    planted = {library: [] for library in OUTSIDERS}
    for module in modules(copy):
        place = str(module.relative_to(copy))
        for library, (_, free) in OUTSIDERS.items():
            if not any(
                place == each or (each.endswith("/") and place.startswith(each)) for each in free
            ):
                planted[library].append(name_of(copy, module))
                # inside a function as well: a late import is one
                with module.open("a") as file:
                    file.write(f"\n\ndef planted_{library}():\n    import {library}.planted\n")
    became, said = lint(copy)
    assert became[RAY] == became[KERNELS] == became[REDIS] == "BROKEN"
    for library, names in planted.items():
        assert "vyre_dist.autotune.tiered" in names and len(names) > 150, library
        missing = [name for name in names if f"{name} -> {library} " not in said.replace("(", " (")]
        assert missing == [], library


def upward() -> list[tuple[str, str]]:
    """(module, what it must not import) for each layer and the one above it, and for siblings of
    one layer.
    """
    layers = [
        [name.strip() for name in layer.split("|")]
        for contract in SETTINGS["contracts"]
        if contract["name"] == LAYERS
        for layer in contract["layers"]
    ]
    pairs = []
    for above, below in itertools.pairwise(layers):
        pairs += [(low, high) for low in below for high in above]
        pairs += [(one, other) for one in below for other in below if one != other]
    return pairs


def test_imports_upwards_and_sideways_are_seen(copy: Path) -> None:
    """Each layer is kept from each one above it, and from its neighbours, also where the module is
    new.
    """
    pairs = upward()
    assert len(pairs) > 20
    places = []
    for number, (low, high) in enumerate(pairs):
        folder = copy / "vyre_dist" / low
        module = folder / f"new_{number}.py" if folder.is_dir() else folder.with_suffix(".py")
        with module.open("a") as file:
            file.write(f"\n\ndef planted_{number}():\n    import vyre_dist.{high}\n")
        places.append((name_of(copy, module), f"vyre_dist.{high}"))
    became, said = lint(copy)
    assert became[LAYERS] == "BROKEN"
    missing = [pair for pair in places if f"{pair[0]} -> {pair[1]} " not in said.replace("(", " (")]
    assert missing == []


def test_a_new_part_has_to_be_given_its_layer(copy: Path) -> None:
    """A module or package at the top that no layer names breaks the contract, whatever it
    imports.
    """
    (copy / "vyre_dist" / "new_part").mkdir()
    (copy / "vyre_dist" / "new_part" / "__init__.py").touch()
    (copy / "vyre_dist" / "new_module.py").touch()
    became, said = lint(copy)
    assert became == {**dict.fromkeys(NAMES, "KEPT"), LAYERS: "BROKEN"}
    assert "new_part" in said and "new_module" in said


@pytest.mark.parametrize(
    ("module", "imported"),
    [("redis_target", "urls"), ("redis_reasons", "redis_store"), ("store", "memory")],
)
def test_a_circle_inside_autotune_is_seen(copy: Path, module: str, imported: str) -> None:
    """A module there that imports one that imports it breaks the contract, also in a function."""
    with (copy / "vyre_dist" / "autotune" / f"{module}.py").open("a") as file:
        file.write(f"\n\ndef planted():\n    import vyre_dist.autotune.{imported}\n")
    became, said = lint(copy)
    assert became == {**dict.fromkeys(NAMES, "KEPT"), AUTOTUNE: "BROKEN"}
    assert f"vyre_dist.autotune.{module} -> vyre_dist.autotune.{imported} " in said


def test_modules_of_the_cuda_package_are_private_to_it(copy: Path) -> None:
    """An import of one of its modules is seen everywhere but in the package, also of a new module
    and inside a function. Its own modules import each other.
    """
    assert lint(copy)[0][CUDA] == "KEPT"
    add_new_modules(copy)
    own = copy / "vyre_dist" / "kernels" / "cuda"
    planted = []
    for module in modules(copy):
        if module.is_relative_to(own):
            continue
        planted.append(name_of(copy, module))
        with module.open("a") as file:
            file.write("\n\ndef planted():\n    import vyre_dist.kernels.cuda.new_module\n")
    became, said = lint(copy)
    assert became[CUDA] == "BROKEN" and len(planted) > 150
    target = "vyre_dist.kernels.cuda.new_module"
    missing = [name for name in planted if f"{name} -> {target} " not in said.replace("(", " (")]
    assert missing == []
