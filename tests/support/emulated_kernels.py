"""Kernels on the host: NVRTC's and the driver's places taken by a C++ compiler and tests/emulation.

What NVRTC would get, headers and the lines that instantiate a template, becomes a shared library
instead of a cubin. All processes of a test run share what one of them has compiled.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import random
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

EMULATION = Path(__file__).parents[1] / "emulation"
# where the environment names the folder of what has been compiled; without it everything is anew
COMPILED = "VYRE_TEST_COMPILED_KERNELS"

_COMMON = ("-std=c++17", "-O1", "-fPIC", "-U_FORTIFY_SOURCE", "-Wall", "-Wno-unknown-pragmas")
# `extern __shared__` is a thread-local array, without a constructor that might have to be called
_SHARED = ("-fvisibility=hidden", "-fno-extern-tls-init")
# No run-time library: what they find is a trap, which fibers.cpp catches. Not shifts: by 32 a GPU
# shifts everything out, which idle lanes do to nothing.
_SANITIZERS = (
    "-fsanitize=alignment,bounds,integer-divide-by-zero",
    "-fsanitize-undefined-trap-on-error",
)
# calls before each access of memory, to races.cpp instead of the run-time library; lines for its
# messages
_RACES = ("-fsanitize=thread", "-g")
_SHARED_BYTES_WITHOUT_ASKING = 48 << 10
_DYNAMIC_SHARED_BYTES = 228 << 10  # cuda.h
_PT_TLS = 7


class KernelFaultError(RuntimeError):
    """A kernel did what CUDA would not let it do, or what would go wrong on some GPU."""


class EmulatedNvrtcError(RuntimeError):
    """Stands for nvrtc.NVRTCError: the compiler refused the source."""


def compiler() -> str | None:
    """g++'s path; None without it. Others don't know all options."""
    return shutil.which("g++")


class _Kernel(ctypes.Structure):
    """emulation::Kernel."""

    _fields_ = [
        ("run", ctypes.c_void_p),
        ("count", ctypes.c_uint),
        ("sizes", ctypes.POINTER(ctypes.c_uint32)),
        ("shared", ctypes.c_void_p),
    ]


def _build(folder: Path, name: str, sources: Sequence[Path], options: Sequence[str]) -> Path:
    """A shared library from `sources`. Raises EmulatedNvrtcError with the compiler's output."""
    found = compiler()
    if found is None:
        raise EmulatedNvrtcError("there is no g++")
    objects = [str(folder / f"{name}-{source.stem}.o") for source in sources]
    library = folder / f"{name}.so"
    # linked on its own: with a sanitizer's option its run-time library would come along
    commands = [
        [found, *_COMMON, *options, f"-I{EMULATION}", "-c", str(source), "-o", target]
        for source, target in zip(sources, objects, strict=True)
    ]
    for command in (*commands, [found, "-shared", *objects, "-o", str(library)]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise EmulatedNvrtcError(done.stderr)
    return library


@contextlib.contextmanager
def _compiled_once(name: str, *content: str) -> Iterator[tuple[Path, bool]]:
    """Where the library of this content is to lie, and whether it does. Nobody else compiles it
    meanwhile.
    """
    folder = os.environ.get(COMPILED)
    with contextlib.ExitStack() as stack:
        if folder is None:
            own = stack.enter_context(tempfile.TemporaryDirectory(prefix="emulated-kernels-"))
            yield Path(own) / f"{name}.so", False
            return
        key = hashlib.sha256(repr((_emulation_digest(), *content)).encode()).hexdigest()[:24]
        library = Path(folder) / f"{name}-{key}.so"
        lock = stack.enter_context(library.with_suffix(".lock").open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield library, library.exists()


@cache
def _launcher() -> Any:
    """fibers.cpp's launch_kernel. Once in a process: kernels find `meet` and the indices by their
    names.
    """
    with _compiled_once("fibers") as (library, there):
        if not there:
            with tempfile.TemporaryDirectory(dir=library.parent) as folder:
                sources = [EMULATION / f"{name}.cpp" for name in ("fibers", "races")]
                os.replace(_build(Path(folder), "fibers", sources, ["-O2"]), library)
        launch = ctypes.PyDLL(str(library), mode=ctypes.RTLD_GLOBAL).launch_kernel
    launch.restype = ctypes.c_char_p
    return launch


def _thread_local_bytes(library: Path) -> int:
    """Of a 64-bit ELF file's thread-local storage, which is what is shared here."""
    data = library.read_bytes()
    (at,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for header in range(at, at + size * count, size):
        kind, _flags, _offset, _address, _physical, _in_file, in_memory = struct.unpack_from(
            "<IIQQQQQ", data, header
        )
        if kind == _PT_TLS:
            return int(in_memory)
    return 0


class Library:
    """A compiled kernel."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.static_shared_bytes = _thread_local_bytes(file) - _DYNAMIC_SHARED_BYTES
        self._describe = ctypes.PyDLL(str(file)).describe_kernel

    def description(self) -> _Kernel:
        """To be asked for by the thread that launches: shared memory is that one's."""
        kernel = _Kernel()
        self._describe(ctypes.byref(kernel))
        return kernel

    def arguments(self, pointers: int) -> list[bytes]:
        """Copies of the arguments to which an array of pointers leads."""
        kernel = self.description()
        addresses = (ctypes.c_void_p * kernel.count).from_address(pointers)
        return [ctypes.string_at(at, kernel.sizes[i]) for i, at in enumerate(addresses)]

    def with_lines(self, message: str) -> str:
        """A fault's message with lines of the source for places in the code, if binutils are
        there.
        """
        tool = shutil.which("addr2line")

        def line(place: re.Match[str]) -> str:
            if tool is None:
                return place[0]
            found = subprocess.run(
                [tool, "-i", "-s", "-e", str(self._file), place[1]], capture_output=True, text=True
            )
            lines = re.sub(r" \(discriminator \d+\)", "", found.stdout)
            return " in ".join(lines.split("\n")[:-1])

        return re.sub(r"code\+(0x[0-9a-f]+)", line, message)


class Compiler:
    """The modules cupy.cuda.nvrtc, cupy.cuda.function and cupy_backends.cuda.api.driver, as far as
    kernels/cuda uses them.

    `streams(pointer)` is called for the queue of launches that a pointer stands for. Launches draw
    their order from `seed`.
    """

    def __init__(self, streams: Callable[[int], Any], seed: int = 0, races: bool = False) -> None:
        """`races`: whether kernels are watched for races, which takes several times as long."""
        self._folder = tempfile.TemporaryDirectory(
            prefix="emulated-kernels-", dir=os.environ.get(COMPILED)
        )
        self._streams = streams
        self._random = random.Random(seed)
        self._compiled: dict[tuple[Any, ...], bytes] = {}
        self._loaded: dict[bytes, Library] = {}
        self._functions: dict[int, Library] = {}
        self._room: dict[int, int] = {}  # by function: the dynamic shared memory that was asked for
        self.launches = 0
        self._options = (*_SHARED, *(_RACES if races else _SANITIZERS))
        self._launch = _launcher()
        self.nvrtc = SimpleNamespace(
            NVRTCError=EmulatedNvrtcError,
            getVersion=lambda: (0, _version()),
            createProgram=self._create,
            compileProgram=self._compile,
            getProgramLog=lambda program: program.log,
            getCUBIN=lambda program: program.binary,
            destroyProgram=lambda _program: None,
        )
        self.function = SimpleNamespace(Module=lambda: _Module(self))
        self.driver = SimpleNamespace(
            funcGetAttribute=self._get_attribute,
            funcSetAttribute=self._set_attribute,
            launchKernel=self._launch_kernel,
        )

    def close(self) -> None:
        """Remove the compiled files."""
        self._folder.cleanup()

    def _create(
        self, source: str, name: str, texts: Sequence[bytes], names: Sequence[bytes]
    ) -> Any:
        kernel = name.removesuffix(".cu")
        headers = tuple(zip((n.decode() for n in names), texts, strict=True))
        return SimpleNamespace(kernel=kernel, source=source, headers=headers, log="", binary=b"")

    def _compile(self, program: Any, options: Sequence[str]) -> None:
        del options
        key = (program.source, program.headers)
        if key not in self._compiled:
            options = (*self._options, program.source, repr(program.headers))
            with _compiled_once(program.kernel, *options) as (library, there):
                if not there:
                    self._build(program, library)
                self._compiled[key] = library.read_bytes()
        program.binary = self._compiled[key]

    def _build(self, program: Any, library: Path) -> None:
        with tempfile.TemporaryDirectory(dir=library.parent) as name:
            folder = Path(name)
            for header, content in program.headers:
                (folder / header).write_bytes(content)
            source = folder / f"{program.kernel}.cpp"
            source.write_text(
                f'#include "cuda.h"\n{program.source}\nEMULATION_KERNEL({program.kernel})\n'
            )
            try:
                built = _build(folder, program.kernel, [source], (*self._options, f"-I{folder}"))
            except EmulatedNvrtcError as error:
                program.log = str(error)
                raise
            os.replace(built, library)

    def load(self, binary: bytes) -> int:
        """A number for the kernel in a library."""
        key = hashlib.sha256(binary).digest()
        library = self._loaded.get(key)
        if library is None:
            descriptor, name = tempfile.mkstemp(suffix=".so", dir=self._folder.name)
            with os.fdopen(descriptor, "wb") as file:
                file.write(binary)
            library = self._loaded[key] = Library(Path(name))
        number = len(self._functions) + 1
        self._functions[number] = library
        return number

    def _get_attribute(self, attribute: int, function: int) -> int:
        assert attribute == 1  # CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES
        return self._functions[function].static_shared_bytes

    def _set_attribute(self, function: int, attribute: int, value: int) -> None:
        assert attribute == 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        self._room[function] = value

    def _launch_kernel(
        self,
        function: int,
        grid: int,
        grid_y: int,
        grid_z: int,
        threads: int,
        threads_y: int,
        threads_z: int,
        shared_bytes: int,
        stream: int,
        pointers: int,
        extra: int,
    ) -> None:
        if (grid_y, grid_z, threads_y, threads_z, extra) != (1, 1, 1, 1, 0):
            raise KernelFaultError("only launches of one dimension are emulated")
        if not 0 < threads <= 1024 or threads % 32 or grid < 1:
            raise KernelFaultError(f"{grid} blocks of {threads} threads can't be launched")
        static = self._functions[function].static_shared_bytes
        if shared_bytes > self._room.get(function, _SHARED_BYTES_WITHOUT_ASKING - static):
            raise KernelFaultError(
                f"{shared_bytes} bytes of dynamic shared memory were not asked for"
            )
        library = self._functions[function]
        arguments = library.arguments(pointers)  # CUDA copies them as well

        def run() -> None:
            held = [
                ctypes.create_string_buffer(argument, len(argument) + 16) for argument in arguments
            ]
            addresses = (ctypes.c_void_p * len(held))(*map(ctypes.addressof, held))
            kernel = library.description()
            self.launches += 1
            problem = self._launch(
                ctypes.byref(kernel),
                addresses,
                grid,
                threads,
                shared_bytes,
                self._random.getrandbits(32),
            )
            if problem is not None:
                raise KernelFaultError(library.with_lines(problem.decode()))

        self._streams(stream).submit(run)


class _Module:
    """cupy.cuda.function.Module."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self._number = 0

    def load(self, binary: bytes) -> None:
        """From what getCUBIN gave."""
        self._number = self._compiler.load(binary)

    def get_function(self, name: str) -> Any:
        """The one kernel there is."""
        del name
        return SimpleNamespace(ptr=self._number)


@cache
def _emulation_digest() -> bytes:
    content = b"".join(file.read_bytes() for file in sorted(EMULATION.iterdir()))
    return hashlib.sha256(content).digest()


def _version() -> int:
    """A number for the state of the emulation: it is in the cubins' cache keys."""
    return int.from_bytes(_emulation_digest()[:4], "little")
