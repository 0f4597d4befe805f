"""A scanned tree with modules in it: no process of a scan, whatever kind of pool, imports one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from emulated_kernels import compiler
from import_recorder import Recorder, poison
from ray_head import JOB_TIMEOUT_S, ROOT, Head, client_environment, running_head

FINDINGS = 1
SECRET = "key = tok_0123456789abcdefghij\n"
LIBRARY = Path(__file__).with_name("poisoned_library_use.py")

COMMANDS = [
    "local",
    "ray-local",
    "ray-head",
    "ray-auto",
    "ray-client",
    "submit",
    "submit-upload",
    "ray-job-submit",
]
# the others are nightly: from outside they differ in nothing that they did not differ in from
# inside, and all of Ray's together take minutes
EACH_TIME = [
    *((kind, True) for kind in ("local", "ray-local", "scanner", "spawn", "forkserver", "gpu")),
    *((kind, False) for kind in ("local", "spawn")),
]
USES = ["scanner", "fork", "spawn", "forkserver", "gpu", "extraction"]
# what runs without a head of the tests' own, which takes a while to start
WITHOUT_HEAD = {"local", "ray-local", *USES}


@dataclass
class Place:
    """A tree, and what is around it. `script`: what `vyre-dist` is once it is installed."""

    tree: Path
    marker: Path
    elsewhere: Path
    rules: Path
    script: Path
    head: Head | None
    environment: dict[str, str]
    recorder: Recorder

    def run(self, kind: str, inside: bool) -> subprocess.CompletedProcess[str]:
        """Scan the tree with a kind of pool, or use of the library, from inside or from outside of
        it.
        """
        path = "." if inside else str(self.tree)
        head = self.head
        http, gcs, client = (head.http, head.gcs, head.client) if head else ("", "", "")
        job = ["--address", http]
        scan = ["scan", "-r", str(self.rules), "-j", "1", "--no-cache", "--progress", "never"]
        vyre = [sys.executable, str(self.script)]
        uploaded = ["--working-dir", str(self.tree)]
        command = {
            "local": [*vyre, *scan, path],
            "ray-local": [*vyre, *scan, "--pool", "ray", "--address", "local", path],
            "ray-head": [*vyre, *scan, "--address", gcs, path],
            "ray-auto": [*vyre, *scan, "--address", "auto", path],
            "ray-client": [*vyre, *scan, "--address", client, str(self.tree)],
            # uv's own process is what Ray looks at; a shell does for it that runs the tree's file
            # `run`
            "ray-uv": ["uv", "run", *vyre, *scan, "--address", gcs, "."],
            "submit": [*vyre, "submit", *job, "--", *scan, str(self.tree)],
            "submit-upload": [*vyre, "submit", *job, *uploaded, "--", *scan, "."],
            # as the README has it; the script is on the PATH there
            "ray-job-submit": [
                *(sys.executable, "-P", "-m", "ray.scripts.scripts", "job", "submit", *job, "--"),
                *(
                    "bash",
                    "-c",
                    f'cd "{self.tree}" && exec "{sys.executable}" "{self.script}" "$@"',
                    "vyre-dist",
                    *scan,
                    ".",
                ),
            ],
        }.get(kind, [sys.executable, str(LIBRARY), kind, path])
        return subprocess.run(
            command,
            executable="/bin/sh" if kind == "ray-uv" else None,
            cwd=self.tree if inside or kind == "ray-uv" else self.elsewhere,
            env=self.environment | (head.token if head else {}),
            capture_output=True,
            text=True,
            timeout=JOB_TIMEOUT_S,
        )


def found(kind: str, done: subprocess.CompletedProcess[str]) -> bool:
    """Whether the run found the tree's only secret, and nothing else."""
    if kind in USES:
        return (done.returncode, done.stdout) == (0, "1\n")
    return done.returncode == FINDINGS and "1 finding in" in done.stdout


@pytest.fixture(scope="module")
def kinds(request: pytest.FixtureRequest) -> set[str]:
    """The kinds that this session tries."""
    cases = [item for item in request.session.items if item.path == request.path]
    return {item.callspec.params["kind"] for item in cases if hasattr(item, "callspec")}


@pytest.fixture(scope="module")
def place(
    kinds: set[str], ray_places: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """A tree without modules; a head if one is needed, and whatever else is started, that are
    recorded.
    """
    root = tmp_path_factory.mktemp("poison")
    for name in ("tree", "elsewhere", "bin"):
        (root / name).mkdir()
    (root / "tree" / "a.txt").write_text(SECRET)
    (root / "tree" / "run").write_text('"$@"\n')
    rules = root / "elsewhere" / "rules.toml"
    rules.write_text(
        "[[rules]]\nid = 'tok'\nregex = '''\\btok_([0-9a-z]{20})\\b'''\nkeywords = ['tok_']\n"
    )
    script = root / "bin" / "vyre-dist"
    script.write_text(
        "from vyre_dist.cli.main import main\nif __name__ == '__main__':\n    main()\n"
    )
    recorder = Recorder(root / "recorder", root / "tree")
    environment = {
        **recorder.environment,
        "PYTHONPATH": os.pathsep.join([str(recorder.folder), str(ROOT)]),
        # cupy's, which the head has no use for
        "XDG_CACHE_HOME": str(root / "cache"),
    }
    with contextlib.ExitStack() as stack:
        head = None
        of_all = client_environment(ray_places / "p", root / "home", environment)
        if kinds - WITHOUT_HEAD:
            head = stack.enter_context(
                running_head(root / "head", ray_places / "p", environment=environment)
            )
            of_all = head.environment
        yield Place(
            root / "tree",
            root / "marker",
            root / "elsewhere",
            rules,
            script,
            head,
            of_all,
            recorder,
        )


@pytest.fixture(scope="module")
def poisoned(place: Place, kinds: set[str]) -> Place:
    """The tree with a module for each that any process looked for while it was scanned in all
    ways.
    """
    # with these all kinds of processes have been there
    for kind in ["local", "ray-local", *(["submit"] if kinds - WITHOUT_HEAD else []), *USES]:
        if kind != "gpu" or compiler() is not None:
            done = place.run(kind, inside=False)
            assert found(kind, done), (kind, done.stdout, done.stderr)
    looked_for = place.recorder.modules
    assert {"numpy", "re2", "multiprocessing", "ray", "click", "pyarrow", "vyre_dist"} <= looked_for
    assert len(looked_for) > 200
    poison(place.tree, looked_for | set(sys.stdlib_module_names), place.marker)
    return place


@pytest.mark.parametrize(
    ("kind", "inside"),
    [
        pytest.param(
            kind, inside, marks=[] if (kind, inside) in EACH_TIME else [pytest.mark.nightly]
        )
        for kind in [*COMMANDS, *USES]
        for inside in (True, False)
        if inside or kind != "ray-uv"
    ],
)
def test_a_module_in_the_scanned_tree_is_never_imported(
    poisoned: Place, kind: str, inside: bool
) -> None:
    """Scanned from inside or outside, the tree's modules are documents: no process has the tree on
    its `sys.path`.
    """
    if kind == "gpu" and compiler() is None:
        pytest.skip("there is no g++, which compiles the kernels for the emulated GPU")
    done = poisoned.run(kind, inside)
    assert not poisoned.marker.exists(), poisoned.marker.read_text()
    assert found(kind, done), done.stdout + done.stderr
    assert poisoned.recorder.misled == set()
