"""What a rule pack is compiled to before any backend sees it, and where compiled things are kept on
disk.
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
