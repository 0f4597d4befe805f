"""Which modules Python processes look for, and where: a sitecustomize for all processes of a test.

A process appends to the file that RECORDED_IMPORTS names: the name of each top-level module that it
looks for, whether or not there is one; and "!" with the process's command line, when its `sys.path`
has the folder that GUARDED_TREE names.
"""

from __future__ import annotations

from pathlib import Path

SITECUSTOMIZE = """
import os, sys

def _install():
    record = os.open(os.environ["RECORDED_IMPORTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    tree = os.environ["GUARDED_TREE"]
    seen = set()

    def inside(folder):
        return (folder + "/").startswith(tree + "/")

    def hook(event, arguments):
        if event != "import":
            return
        name = arguments[0].partition(".")[0]
        path = arguments[2] or sys.path
        if any(type(each) is str and inside(each or os.getcwd()) for each in path):
            name = "!" + " ".join(sys.orig_argv)[:300].replace(chr(10), " ")
        if name not in seen:
            seen.add(name)
            os.write(record, (name + chr(10)).encode())

    sys.addaudithook(hook)

if "RECORDED_IMPORTS" in os.environ:
    _install()
"""


class Recorder:
    """`environment`: what processes need to be recorded, besides a PYTHONPATH with `folder` in
    it.
    """

    def __init__(self, folder: Path, tree: Path) -> None:
        self.folder = folder
        self.folder.mkdir()
        (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
        self._file = folder / "imports"
        self.environment = {"RECORDED_IMPORTS": str(self._file), "GUARDED_TREE": str(tree)}

    @property
    def modules(self) -> set[str]:
        """The names that were looked for so far."""
        return {line for line in self._lines() if not line.startswith("!")}

    @property
    def misled(self) -> set[str]:
        """The processes that looked in the tree, too."""
        return {line for line in self._lines() if line.startswith("!")}

    def _lines(self) -> list[str]:
        return self._file.read_text().splitlines() if self._file.exists() else []


def poison(tree: Path, names: set[str], marker: Path) -> None:
    """Put a module of each name into `tree`. Whoever imports one leaves its name in `marker`."""
    for name in names:
        code = f"with open({str(marker)!r}, 'a') as file:\n    file.write({name!r} + chr(10))\n"
        (tree / f"{name}.py").write_text(code)
