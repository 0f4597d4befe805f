"""What holds of all files: no import goes in a circle, and none is long for no reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("vyre_dist", "actors", "kernels", "tests", "benchmarks", "fuzz", "examples")
CODE = (".py", ".cuh", ".cu")
MOST_LINES = 400

LONG = {
    "benchmarks/gpu_scan.py": "one run measures all of it on one rented machine",
    "tests/gpu/test_service.py": "the faults of one protocol, in the order of its messages",
}


def imports(package: str) -> Mapping[str, Iterable[str]]:
    """The modules of a package, and what each of them imports, in functions as well."""
    graph = grimp.build_graph(package, exclude_type_checking_imports=True, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def test_no_import_goes_in_a_circle() -> None:
    """Every module can be read after those that it imports, type checkers' imports apart."""
    found = imports("vyre_dist")
    assert len(found) > 250
    TopologicalSorter(found).prepare()  # raises CycleError


def test_a_circle_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of two modules, one of whose imports is in a function."""
    package = tmp_path / "planted"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "one.py").write_text("import planted.other\n")
    (package / "other.py").write_text("def late():\n    import planted.one\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CycleError, match="cycle"):
        TopologicalSorter(imports("planted")).prepare()


def test_long_files_have_a_reason() -> None:
    """No file above 400 lines but those that LONG names, and all of these."""
    files = [path for part in PARTS for path in (ROOT / part).rglob("*") if path.suffix in CODE]
    assert len(files) > 400
    long = {
        str(path.relative_to(ROOT))
        for path in files
        if len(path.read_text(encoding="utf-8").splitlines()) > MOST_LINES
    }
    assert long == set(LONG)
