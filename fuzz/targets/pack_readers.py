"""The pack readers: any file is a pack or a list of diagnostics, and a pack travels unchanged."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Hashable
from pathlib import Path

from vyre_dist.rules import PackError, RulePack
from vyre_dist.rules.codec import decode_pack, encode_pack

_TOML = b"""
title = "acme"
[[rules]]
id = "acme-token"
description = "token"
regex = '''\\bacme_([0-9a-z]{8})\\b'''
keywords = ["acme_"]
entropy = 3.0
secretGroup = 1
path = '''\\.env$'''
[[rules.allowlists]]
condition = "AND"
regexTarget = "line"
regexes = ['''^#''']
stopwords = ["example"]
[allowlist]
paths = ['''docs/''']
"""

_NATIVE = b"""
schema = 1
name = "acme"
[[rules]]
id = "a"
regex = '''a{2} # two'''
verbose = true
case_insensitive = true
max_match_bytes = 100
examples = ["aa"]
"""

_YAML = b"""
rules:
  - &base
    name: token
    id: np.acme.1
    pattern: |
      (?x) \\b (acme_[0-9a-z]{1, 8}) \\b
    min_entropy: 2.5
    categories: [secret]
    examples: ["acme_1"]
  - <<: *base
    id: np.acme.2
"""


class PackReaders:
    """TOML of both dialects and YAML, one after the other over the same bytes."""

    words = (
        *b"[[rules]] [rules.allowlist] [[rules.allowlists]] [extend]".split(),
        *b"rules: - << *base &base".split(),
        *b"id regex path entropy keywords schema tags pattern name min_entropy examples".split(),
        *b"= : ''' \"\"\" [ ] { } , # true 1 -1 1e999 nan 1979-05-27 ~ | > !!str".split(),
        b"\n", b"\n  ", b"\t", b"\xef\xbb\xbf", b"\x00", b"\xff", b"(?i)", b"(?=a)", b"0o7", b"[[",
    )  # fmt: skip

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()

    def seeds(self) -> list[bytes]:
        """One pack of each kind."""
        return [_TOML, _NATIVE, _YAML]

    def check(self, data: bytes) -> Hashable:
        """A pack equals itself after its codec and when it is read again."""
        return tuple(self._read(data, ending) for ending in (".toml", ".yml"))

    def _read(self, data: bytes, ending: str) -> Hashable:
        file = Path(self._folder.name, "pack" + ending)
        file.write_bytes(data)
        try:
            pack = RulePack.load(file)
        except PackError as error:
            assert error.diagnostics, "an error without a diagnostic"
            for one in error.diagnostics:
                assert one.message and one.file, one
                assert 0 <= one.line <= data.count(b"\n") + data.count(b"\r") + 1, one
            return re.sub(r"\d+|'[^']*'", "", error.diagnostics[0].message)[:40]
        assert decode_pack(encode_pack(pack.data)) == pack.data
        assert RulePack.load(file).content_hash == pack.content_hash
        return len(pack.rules), len(pack.allowlists)
