"""The CUDA sources without a GPU: every instance compiles for every architecture, and the structs
are NumPy's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gpu_support import TUNABLES

from vyre_dist.compiler import span_program
from vyre_dist.compiler.runners import BIT_PARALLEL_STEPS
from vyre_dist.kernels.cuda import (
    compact,
    content,
    everywhere,
    keywords,
    prefilter,
    probe,
    scan,
    spans,
    structs,
    walk,
)
from vyre_dist.kernels.cuda.instances import Instance
from vyre_dist.kernels.cuda.nvrtc import (
    KernelCompileError,
    NvrtcMissingError,
    compile_cubin,
    headers,
    nvrtc_module,
)
from vyre_dist.program import ArtifactCache
from vyre_dist.program.span_tables import INSTRUCTION_DTYPE, SPAN_RULE_DTYPE
from vyre_dist.program.tunables import Tunables
from vyre_dist.regex.instructions import Op
from vyre_dist.rows import layout

ARCHITECTURES = ["sm_80", "sm_90", "sm_100"]

STRUCTS = {
    "Row": layout.ROW_DTYPE,
    "Bucket": structs.BUCKET_DTYPE,
    "Side": structs.SIDE_DTYPE,
    "Entry": structs.DEVICE_ENTRY_DTYPE,
    "Run": structs.DEVICE_RUN_DTYPE,
    "WordTest": structs.TEST_DTYPE,
    "Tables": structs.TABLES_DTYPE,
    "Stretch": structs.STRETCH_DTYPE,
    "Output": structs.OUTPUT_DTYPE,
    "Match": layout.MATCH_DTYPE,
    "Piece": structs.PIECE_DTYPE,
    "Content": layout.CONTENT_DTYPE,
    "Keyword": structs.KEYWORD_DTYPE,
    "KeywordTables": structs.KEYWORD_TABLES_DTYPE,
    "SpanTables": structs.SPAN_TABLES_DTYPE,
    "SpanRule": SPAN_RULE_DTYPE,
    "Instruction": INSTRUCTION_DTYPE,
}


@pytest.fixture(scope="module", autouse=True)
def _nvrtc() -> None:
    try:
        nvrtc_module()
    except NvrtcMissingError as error:
        pytest.skip(str(error))


def instances(tunables: Tunables) -> list[Instance]:
    """Those of all kernels."""
    return [
        scan.instance(tunables),
        prefilter.instance(tunables),
        compact.instance(tunables),
        probe.instance(tunables),
        everywhere.instance(tunables),
        walk.instance(tunables),
        spans.instance(tunables),
        content.instance(tunables),
        keywords.instance(tunables),
    ]


def test_header_and_launcher_share_a_name() -> None:
    """The module that launches a kernel lies beside the header of its name, and instantiates that
    one's template.
    """
    folder = Path(scan.__file__).parent
    for instance in instances(Tunables()):
        assert (folder / f"{instance.kernel}.py").exists()
        assert (folder / f"{instance.kernel}.cuh").exists()
        assert f"vyre::{instance.kernel}<{instance.threads}" in instance.source


def everything_compiles() -> list[Any]:
    """Every architecture with every tunables; the normal suite takes each of both."""
    return [
        pytest.param(arch, tunables, id=f"{arch}-{tunables}", marks=marks)
        for number, tunables in enumerate(TUNABLES)
        for shift, arch in enumerate(ARCHITECTURES)
        for marks in [[] if shift == number % len(ARCHITECTURES) else [pytest.mark.nightly]]
    ]


@pytest.mark.parametrize(("arch", "tunables"), everything_compiles())
def test_every_instance_compiles(arch: str, tunables: Tunables) -> None:
    """Each kernel of each instance is a cubin for each architecture."""
    cache = ArtifactCache(None)
    for instance in instances(tunables):
        assert compile_cubin(instance.kernel, instance.source, arch, cache).startswith(b"\x7fELF")


def constant(name: str) -> int:
    """What the host takes `name` for."""
    value: int = getattr(structs if hasattr(structs, name) else layout, name)
    return value


def test_structs_are_numpys() -> None:
    """Every struct that the host writes has the size and the places of its dtype's fields."""
    checks = []
    for name, dtype in STRUCTS.items():
        checks.append(f"static_assert(sizeof(vyre::{name}) == {dtype.itemsize});")
        for field, (_, offset, *_) in (dtype.fields or {}).items():
            checks.append(f"static_assert(__builtin_offsetof(vyre::{name}, {field}) == {offset});")
    checks.append(f"static_assert(sizeof(vyre::Pivot) == {structs.PIVOT_BYTES});")
    checks.append(
        f"static_assert(sizeof(vyre::Lists<vyre::u32>) == {structs.LISTS_DTYPE.itemsize});"
    )
    for name in (
        "MAX_RUNS",
        "BYTE_MAP_PITCH",
        "LIST",
        "HOST",
        "BIT_PARALLEL",
        "PAGE_BITS",
        "MOST_ROOM",
        "KEYWORD_HASH_BITS",
        "KEYWORD_MULTIPLIER",
    ):
        checks.append(f"static_assert(vyre::{name} == {constant(name)}u);")
    checks.append(f"static_assert(vyre::BIT_PARALLEL_STEPS == {BIT_PARALLEL_STEPS}u);")
    for name in (
        "SPAN_STEPS",
        "SPAN_DEPTH",
        "OPEN",
        "FOUND",
        "FILTERED",
        "FOREIGN",
        "CONTENT_BLOCK",
        "NO_GROUP",
        "NO_SUCH_GROUP",
        "MAX_GROUP_OFFSETS",
    ):
        checks.append(f"static_assert(vyre::{name} == {constant(name)});")
    checks.append(f"static_assert(vyre::FIRST_AHEAD == {span_program.FIRST_AHEAD}u);")
    checks.append(f"static_assert(vyre::SPAN_STEPS == {span_program.SEARCH_STEPS}u);")
    checks.append(f"static_assert(vyre::SPAN_DEPTH == {span_program.SEARCH_DEPTH}u);")
    checks += [
        f"static_assert(vyre::OP_{op.name} == {op.value}u);" for op in Op if op is not Op.MATCH
    ]
    source = '#include "spans.cuh"\n#include "keywords.cuh"\n' + "\n".join(checks)
    assert len(checks) > 60
    compile_cubin("structs", source, "sm_90", ArtifactCache(None))


def test_refused_source() -> None:
    """Source that does not compile is an error with the compiler's log."""
    with pytest.raises(KernelCompileError, match="sm_90") as caught:
        compile_cubin(
            "broken", '#include "tables.cuh"\nvyre::nothing x;', "sm_90", ArtifactCache(None)
        )
    assert "nothing" in caught.value.log


def test_cached_cubin(tmp_path: Path) -> None:
    """A cubin is compiled once: what is found in the cache is taken, whatever is damaged is made
    anew.
    """
    cache, instance = ArtifactCache(str(tmp_path)), walk.instance(Tunables())
    first = compile_cubin(instance.kernel, instance.source, "sm_90", cache)
    (stored,) = (tmp_path / "cubin").iterdir()
    stamp = stored.stat().st_mtime_ns
    assert compile_cubin(instance.kernel, instance.source, "sm_90", cache) == first
    assert stored.stat().st_mtime_ns == stamp
    stored.write_bytes(stored.read_bytes()[:-1])
    assert compile_cubin(instance.kernel, instance.source, "sm_90", cache) == first
    assert stored.stat().st_mtime_ns != stamp


def test_all_headers_are_used() -> None:
    """Every header of the package belongs to some kernel."""
    used = "".join(instance.source for instance in instances(Tunables()))
    used += "".join(text.decode() for text in headers().values())
    assert {name.decode() for name in headers() if f'"{name.decode()}"' not in used} == set()


def test_missing_gpu_is_said() -> None:
    """Without a GPU the backend says so and what to use instead."""
    code = (
        "from vyre_dist.kernels.cuda.device import open_device\nfrom vyre_dist.program import "
        "ArtifactCache\n"
    )
    code += "open_device(ArtifactCache(None))"
    # a machine with GPUs hides them this way
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 1
    assert "no usable GPU" in done.stderr
    assert "--backend cpu" in done.stderr
