"""Kernels on the host: NVRTC's and the driver's places taken by a C++ compiler and tests/emulation.

What NVRTC would get, headers and the lines that instantiate a template, becomes a shared library instead of a cubin.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

EMULATION = Path(__file__).parents[1] / "emulation"

_COMMON = ("-std=c++17", "-O1", "-fPIC", "-shared", "-U_FORTIFY_SOURCE", "-Wall", "-Wno-unknown-pragmas")
# `extern __shared__` is a thread-local array, without a constructor that might have to be called
_SHARED = ("-fvisibility=hidden", "-fno-extern-tls-init")
# No run-time library: what they find is a trap, which fibers.cpp catches. Not shifts: by 32 a GPU
# shifts everything out, which idle lanes do to nothing.
_SANITIZERS = ("-fsanitize=alignment,bounds,integer-divide-by-zero", "-fsanitize-undefined-trap-on-error")
_DYNAMIC_SHARED_BYTES_WITHOUT_ASKING = 48 << 10


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


class Library:
    """A compiled kernel."""

    def __init__(self, file: Path) -> None:
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


class Compiler:
    """The modules cupy.cuda.nvrtc, cupy.cuda.function and cupy_backends.cuda.api.driver, as far as kernels/cuda uses them.

    `streams(pointer)` is called for the queue of launches that a pointer stands for. Launches draw their order from `seed`.
    """

    def __init__(self, streams: Callable[[int], Any], seed: int = 0) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="emulated-kernels-")
        self._streams = streams
        self._random = random.Random(seed)
        self._compiled: dict[tuple[Any, ...], bytes] = {}
        self._loaded: dict[bytes, Library] = {}
        self._functions: dict[int, Library] = {}
        self._room: dict[int, int] = {}  # by function: the dynamic shared memory that was asked for
        self.launches = 0
        fibers = self._build("fibers", (EMULATION / "fibers.cpp").read_text(), (), EMULATION)
        # kernels find `meet` and the indices in it
        self._launch = ctypes.PyDLL(str(fibers), mode=ctypes.RTLD_GLOBAL).launch_kernel
        self._launch.restype = ctypes.c_char_p
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
        self.driver = SimpleNamespace(funcSetAttribute=self._set_attribute, launchKernel=self._launch_kernel)

    def close(self) -> None:
        """Remove the compiled files."""
        self._folder.cleanup()

    def _build(self, name: str, source: str, options: Sequence[str], *include: Path) -> Path:
        """A shared library from `source`. Raises EmulatedNvrtcError with the compiler's output."""
        found = compiler()
        if found is None:
            raise EmulatedNvrtcError("there is no g++")
        file = Path(self._folder.name) / f"{name}.cpp"
        file.write_text(source)
        library = file.with_suffix(".so")
        folders = [f"-I{folder}" for folder in include]
        done = subprocess.run(
            [found, *_COMMON, *options, *folders, str(file), "-o", str(library)],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise EmulatedNvrtcError(done.stderr)
        return library

    def _create(self, source: str, name: str, texts: Sequence[bytes], names: Sequence[bytes]) -> Any:
        kernel = name.removesuffix(".cu")
        headers = tuple(zip((n.decode() for n in names), texts, strict=True))
        return SimpleNamespace(kernel=kernel, source=source, headers=headers, log="", binary=b"")

    def _compile(self, program: Any, options: Sequence[str]) -> None:
        del options
        key = (program.source, program.headers)
        if key not in self._compiled:
            text = f'#include "cuda.h"\n{program.source}\nEMULATION_KERNEL({program.kernel})\n'
            name = f"{program.kernel}-{len(self._compiled)}"
            headers = Path(self._folder.name) / name
            headers.mkdir()
            for header, content in program.headers:
                (headers / header).write_bytes(content)
            try:
                self._compiled[key] = self._build(
                    name, text, (*_SHARED, *_SANITIZERS), EMULATION, headers
                ).read_bytes()
            except EmulatedNvrtcError as error:
                program.log = str(error)
                raise
        program.binary = self._compiled[key]

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

    def _set_attribute(self, function: int, attribute: int, value: int) -> None:
        assert attribute == 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        self._room[function] = value

    def _launch_kernel(
        self,
        function: int,
        *grid_and_block: int,
    ) -> None:
        grid, *ones, threads, one, other = grid_and_block[:6]
        shared_bytes, stream, pointers, extra = grid_and_block[6:]
        if [*ones, one, other] != [1, 1, 1, 1] or extra:
            raise KernelFaultError("only launches of one dimension are emulated")
        if not 0 < threads <= 1024 or threads % 32 or grid < 1:
            raise KernelFaultError(f"{grid} blocks of {threads} threads can't be launched")
        if shared_bytes > self._room.get(function, _DYNAMIC_SHARED_BYTES_WITHOUT_ASKING):
            raise KernelFaultError(f"{shared_bytes} bytes of dynamic shared memory were not asked for")
        library = self._functions[function]
        arguments = library.arguments(pointers)  # CUDA copies them as well

        def run() -> None:
            held = [ctypes.create_string_buffer(argument, len(argument) + 16) for argument in arguments]
            addresses = (ctypes.c_void_p * len(held))(*map(ctypes.addressof, held))
            kernel = library.description()
            self.launches += 1
            problem = self._launch(
                ctypes.byref(kernel), addresses, grid, threads, shared_bytes, self._random.getrandbits(32)
            )
            if problem is not None:
                raise KernelFaultError(problem.decode())

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


def _version() -> int:
    """A number for the state of the emulation: it is in the cubins' cache keys."""
    content = b"".join(file.read_bytes() for file in sorted(EMULATION.iterdir()))
    return int.from_bytes(hashlib.sha256(content).digest()[:4], "little")
