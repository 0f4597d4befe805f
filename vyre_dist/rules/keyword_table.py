"""KeywordTable: the pack's keywords, numbered, so that one look at a text answers for all rules.

A device looks for all of them in a document at once and sets a bit for each that it has seen
(kernels/cuda/keywords.cuh). The process that owns the device and those that ask it number them
alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vyre_dist.rules.model import PackData, Rule

LEAST_BYTES = 3
"""Of a keyword with a number: a device looks at so many bytes first. Shorter ones are in most
texts, where whoever looks finds them soon.
"""


def keywords_of(rule: Rule) -> tuple[bytes, ...]:
    """The rule's keywords in ASCII's lower case, as texts in lower case have them."""
    return tuple(word.encode().lower() for word in rule.keywords)


@dataclass(frozen=True, slots=True)
class KeywordTable:
    """`words`: distinct, in ASCII's lower case, in order of their numbers. `numbers`: by rule, of
    its keywords. `whole`: by rule, whether all of its keywords have one.
    """

    words: tuple[bytes, ...]
    numbers: tuple[tuple[int, ...], ...]
    whole: tuple[bool, ...]

    @classmethod
    def of(cls, keywords: Sequence[Sequence[bytes]]) -> KeywordTable:
        """`keywords`: by rule, in lower case; none: the rule applies to every text."""
        words = sorted({word for own in keywords for word in own if len(word) >= LEAST_BYTES})
        numbers = {word: number for number, word in enumerate(words)}
        return cls(
            tuple(words),
            tuple(tuple(numbers[word] for word in own if word in numbers) for own in keywords),
            tuple(all(word in numbers for word in own) for own in keywords),
        )

    @classmethod
    def of_pack(cls, pack: PackData) -> KeywordTable:
        """That of the pack's rules."""
        return cls.of([keywords_of(rule) for rule in pack.rules])

    @property
    def flag_words(self) -> int:
        """uint32 words of a text's flags, least significant byte first: bit n is that of word n."""
        return -(-len(self.words) // 32)

    @property
    def longest(self) -> int:
        """Bytes of the longest word."""
        return max(map(len, self.words), default=0)

    def has(self, rule: int, flags: bytes) -> bool | None:
        """Whether one of the rule's keywords is in the text with these flags; None: that can't be
        told from them, as from b"", the flags of a text in which nobody has looked.
        """
        own = self.numbers[rule]
        if not flags or not own:
            return None
        seen = int.from_bytes(flags, "little")
        if any(seen >> number & 1 for number in own):
            return True
        return False if self.whole[rule] else None


def merged_flags(parts: Sequence[bytes]) -> bytes:
    """Those of a text of which the parts have these; b"" where one is unknown."""
    if not parts or not all(parts):
        return b""
    seen = 0
    for flags in parts:
        seen |= int.from_bytes(flags, "little")
    return seen.to_bytes(max(map(len, parts)), "little")
