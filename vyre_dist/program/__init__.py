"""What a rule pack is compiled to before any backend sees it, and the cache that keeps it on disk.

The compilers themselves are in regex/ and compiler/; what runs the results is in kernels/.
"""

from vyre_dist.program.cache import ArtifactCache
from vyre_dist.program.compiled import (
    DEFAULT_MAX_MATCH_BYTES,
    CompiledPack,
    CompiledRule,
    RulesRefusedError,
    compile_pack,
)

__all__ = [
    "DEFAULT_MAX_MATCH_BYTES",
    "ArtifactCache",
    "CompiledPack",
    "CompiledRule",
    "RulesRefusedError",
    "compile_pack",
]
