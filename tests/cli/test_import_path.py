"""Where the command looks for code when its environment, or the way it is started, points to the
working directory.
"""

from __future__ import annotations

import os
import site
import subprocess
import sys
from pathlib import Path

import pytest
from import_recorder import poison

from vyre_dist.import_path import PACKAGE_FOLDER, guarded_children

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 60
FINDINGS = 1

MODULES = {
    "re2",
    "numpy",
    "hyperscan",
    "click",
    "msgpack",
    "rich",
    "sqlite3",
    "multiprocessing",
    "vyre_dist_cli",
}


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """What pip installs as `vyre-dist`."""
    path = tmp_path / "bin" / "vyre-dist"
    path.parent.mkdir()
    path.write_text("import sys\nfrom vyre_dist.cli.main import main\nsys.exit(main())\n")
    return path


@pytest.fixture
def marker(tree: Path, tmp_path: Path) -> Path:
    """The tree has modules, at the top and in src/; it is written when one is imported."""
    for folder in (tree, tree / "src"):
        folder.mkdir(exist_ok=True)
        poison(folder, MODULES, tmp_path / "marker")
    return tmp_path / "marker"


def run(
    *command: str | Path, cwd: Path, environment: dict[str, str], python_path: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env={**environment, "PYTHONPATH": python_path},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


@pytest.mark.parametrize("entry", ["", ".", "src", "./src"])
def test_an_entry_that_depends_on_the_working_directory_is_left_out(
    tree: Path, pack: Path, script: Path, marker: Path, environment: dict[str, str], entry: str
) -> None:
    """An empty entry, which `PYTHONPATH=$PYTHONPATH:…` makes, is the working directory to Python,
    and not to us.
    """
    scan = ["scan", "-r", pack, "--progress", "never", "."]
    done = run(script, *scan, cwd=tree, environment=environment, python_path=f"{entry}:{ROOT}")
    assert not marker.exists(), marker.read_text()
    assert done.returncode == FINDINGS, done.stderr


def test_python_m_looks_there_for_the_package_only(
    tree: Path, pack: Path, marker: Path, environment: dict[str, str]
) -> None:
    """Once `python -m` has found vyre_dist elsewhere, the working directory is done with."""
    scan = ["scan", "-r", pack, "--progress", "never", "."]
    done = run("-m", "vyre_dist", *scan, cwd=tree, environment=environment, python_path=str(ROOT))
    assert not marker.exists(), marker.read_text()
    assert done.returncode == FINDINGS, done.stderr


@pytest.mark.parametrize(
    "folder", [Path(os.__file__).parent, Path(site.getsitepackages()[0]), ROOT]
)
def test_pythons_own_folders_may_be_scanned_from_inside(
    script: Path, environment: dict[str, str], folder: Path
) -> None:
    """What is on the path by right stays on it, also where an empty entry names it."""
    done = run(script, "rules", "list", cwd=folder, environment=environment, python_path=f":{ROOT}")
    assert done.returncode == 0, done.stderr


def test_children_are_guarded_and_this_process_is_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The environment that children get has -P's variable and no relative entry; afterwards it is
    the old one.
    """
    monkeypatch.setenv("PYTHONPATH", f":{PACKAGE_FOLDER}:.:src:")
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    code = "import os, sys; print(os.environ['PYTHONPATH'], sys.flags.safe_path, '' in sys.path)"
    with guarded_children():
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
    assert done.stdout.split() == [PACKAGE_FOLDER, "True", "False"]
    assert os.environ["PYTHONPATH"] == f":{PACKAGE_FOLDER}:.:src:"
    assert "PYTHONSAFEPATH" not in os.environ


def test_an_empty_pythonpath_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray puts other folders before what is there, and PYTHONPATH='' would become an empty entry
    that way.
    """
    monkeypatch.setenv("PYTHONPATH", "")
    with guarded_children():
        assert "PYTHONPATH" not in os.environ
    assert os.environ["PYTHONPATH"] == ""
