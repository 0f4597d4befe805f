r"""parse: from a pattern to its syntax tree. RE2's grammar over bytes, (?x), and larger repeats.

The pattern is read as RE2 reads it in Latin-1 mode: every byte (of the UTF-8 form, when given as
str) is one character. Accepts what google-re2 accepts, with four differences: (?x); large repeats
(within MAX_EXPANDED_POSITIONS); no more than MAX_NESTING levels of groups; and (?i) folds ASCII
letters only. Escapes and bracketed classes are read in lexer.py, repeats are checked in
operands.py. Time is linear in the pattern, and nothing recurses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vyre_dist.regex import charclass, lexer, nodes
from vyre_dist.regex.lexer import Source
from vyre_dist.regex.nodes import Assertion, AssertionKind, Capture, CharClass, Node
from vyre_dist.regex.operands import Loop, Operand, join

MAX_NESTING = 1000
# What one pattern's repeats beyond RE2's limits may expand to; RE2 takes seconds for many times
# this.
MAX_EXPANDED_POSITIONS = 65_536

_FOLD, _MULTILINE, _DOT_ALL, _SWAP_GREED, _VERBOSE = 1, 2, 4, 8, 16
_FLAGS = {
    ord("i"): _FOLD,
    ord("m"): _MULTILINE,
    ord("s"): _DOT_ALL,
    ord("U"): _SWAP_GREED,
    ord("x"): _VERBOSE,
}
_WHITE_SPACE = frozenset(b" \t\n\v\f\r")
_NAME_BYTES = charclass.WORD | charclass.of(b for b in range(0x80, 0x100) if chr(b).isalpha())
_REPEATS: dict[int, tuple[int, int | None]] = {
    ord("*"): (0, None),
    ord("+"): (1, None),
    ord("?"): (0, 1),
}
_ESCAPED_ASSERTIONS = {
    ord("A"): AssertionKind.BEGIN_TEXT,
    ord("z"): AssertionKind.END_TEXT,
    ord("b"): AssertionKind.WORD_BOUNDARY,
    ord("B"): AssertionKind.NOT_WORD_BOUNDARY,
}


@dataclass(frozen=True, slots=True)
class Regex:
    """A parsed pattern.

    `pattern` is what was parsed, `root` its tree, `groups` the number of capture groups,
    `group_names` the first index of each name, `extended` whether google-re2 would refuse `pattern`
    itself ((?x), or large repeats): such a pattern reaches RE2 only through `to_re2`.
    """

    pattern: bytes
    root: Node
    groups: int
    group_names: Mapping[str, int] = field(hash=False)
    extended: bool


def parse(pattern: str | bytes) -> Regex:
    """Parses a pattern; a str stands for its UTF-8 bytes.

    In verbose mode, (?x), white space outside brackets is ignored, also within the braces of a
    count, and so are `# ...` to the end of the line and `(?# ...)`; `\\ ` and `\\#` are literals.

    Raises:
        RegexSyntaxError: RE2 would refuse it, it is nested too deeply, or its repeats expand too
        far.
    """
    if isinstance(pattern, str):
        try:
            source = Source(pattern.encode("utf-8"), given_as_str=True)
        except UnicodeEncodeError as error:
            source = Source(pattern.encode("utf-8", "replace"), given_as_str=True)
            at = len(pattern[: error.start].encode("utf-8"))
            raise source.error(
                at, "a lone surrogate has no UTF-8 form; give the pattern as bytes"
            ) from None
    else:
        source = Source(bytes(pattern), given_as_str=False)
    return _Parser(source).run()


@dataclass(slots=True)
class _Group:
    """An open group: where it opened, what to restore at its end, and what it holds so far."""

    opened_at: int
    capture: int | None
    name: str | None
    outer_flags: int
    branches: list[Operand] = field(default_factory=list)
    items: list[Operand] = field(default_factory=list)

    def end_branch(self) -> None:
        """Closes the current branch of the alternation."""
        self.branches.append(join(nodes.concat, self.items))
        self.items = []


class _Parser:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._text = source.text
        self._at = 0
        self._flags = 0
        self._captures = 0
        self._names: dict[str, int] = {}
        self._extended = False
        self._open = [_Group(0, None, None, 0)]
        # Where the repeat operator just read began, when the last token was one: RE2 forbids
        # stacking them.
        self._operator_at: int | None = None

    def run(self) -> Regex:
        text = self._text
        while self._skip_ignored() < len(text):
            operator_at = self._operator_at
            self._operator_at = None
            self._token(text[self._at], operator_at)
        group = self._open[-1]
        if len(self._open) > 1:
            raise self._source.error(group.opened_at, "missing ) of the group that opens here")
        root = self._close(group)
        return Regex(text, root.node, self._captures, self._names, self._extended)

    def _token(self, c: int, operator_at: int | None) -> None:
        at = self._at
        if c == 0x28:  # (
            self._open_group()
        elif c == 0x29:  # )
            if len(self._open) == 1:
                raise self._source.error(at, "unexpected )")
            group = self._open.pop()
            self._flags = group.outer_flags
            operand = self._close(group)
            if group.capture is not None:
                capture = Capture(operand.node, group.capture, group.name)
                operand = Operand(capture, operand.copies, operand.positions, operand.beyond)
            self._push(operand, at + 1)
        elif c == 0x7C:  # |
            self._open[-1].end_branch()
            self._at = at + 1
        elif c == 0x5B:  # [
            mask, end = lexer.read_bracket(self._source, at, bool(self._flags & _FOLD))
            self._push_node(CharClass(mask), end)
        elif c == 0x5C:  # \
            self._escape()
        elif c == 0x2E:  # .
            mask = charclass.ALL if self._flags & _DOT_ALL else charclass.NOT_NEWLINE
            self._push_node(CharClass(mask), at + 1)
        elif c == 0x5E:  # ^
            many = self._flags & _MULTILINE
            self._push_node(
                Assertion(AssertionKind.BEGIN_LINE if many else AssertionKind.BEGIN_TEXT), at + 1
            )
        elif c == 0x24:  # $
            many = self._flags & _MULTILINE
            self._push_node(
                Assertion(AssertionKind.END_LINE if many else AssertionKind.END_TEXT), at + 1
            )
        elif c in _REPEATS:
            self._repeat(*_REPEATS[c], at + 1, operator_at, braces=False)
        elif c == 0x7B and (
            count := lexer.read_count(self._text, at, bool(self._flags & _VERBOSE))
        ):  # {
            self._repeat(*count, operator_at, braces=True)
        else:
            self._push_literal(c, at + 1)

    def _skip_ignored(self) -> int:
        """Steps over what verbose mode ignores; returns the offset of the next token."""
        text = self._text
        while self._flags & _VERBOSE and self._at < len(text):
            if text[self._at] in _WHITE_SPACE:
                self._at += 1
            elif text[self._at] == 0x23:  # #
                end = text.find(b"\n", self._at)
                self._at = len(text) if end < 0 else end + 1
            elif text.startswith(b"(?#", self._at):
                end = text.find(b")", self._at)
                if end < 0:
                    raise self._source.error(self._at, "missing ) of the comment that opens here")
                self._at = end + 1
            else:
                break
            self._extended = True
        return self._at

    def _push(self, operand: Operand, end: int) -> None:
        self._open[-1].items.append(operand)
        self._at = end

    def _push_node(self, node: Node, end: int) -> None:
        self._push(Operand(node), end)

    def _push_literal(self, byte: int, end: int) -> None:
        mask = 1 << byte
        self._push_node(CharClass(charclass.fold_case(mask) if self._flags & _FOLD else mask), end)

    def _escape(self) -> None:
        source, at, fold = self._source, self._at, bool(self._flags & _FOLD)
        letter = self._text[at + 1 : at + 2]
        if letter and letter[0] in _ESCAPED_ASSERTIONS:
            self._push_node(Assertion(_ESCAPED_ASSERTIONS[letter[0]]), at + 2)
        elif letter == b"C":
            self._push_node(nodes.ANY_BYTE, at + 2)
        elif letter == b"Q":
            close = self._text.find(b"\\E", at + 2)
            end = len(self._text) if close < 0 else close
            for byte in self._text[at + 2 : end]:
                self._push_literal(byte, end)
            self._at = end if close < 0 else end + 2
        elif letter in (b"p", b"P"):
            self._push_class(lexer.read_unicode_class(source, at, fold))
        elif perl := lexer.read_perl_class(source, at):
            self._push_class(perl)
        else:
            self._push_literal(*lexer.read_escape(source, at))

    def _push_class(self, read: tuple[int, int]) -> None:
        self._push_node(CharClass(read[0]), read[1])

    def _repeat(
        self, low: int, high: int | None, end: int, operator_at: int | None, *, braces: bool
    ) -> None:
        source, at = self._source, self._at
        lazy = self._text[end : end + 1] == b"?"
        end += lazy
        if operator_at is not None:
            # x++ and x{2}+ are possessive elsewhere
            possessive = self._text[at : at + 1] == b"+"
            reason = f"bad repetition operator {source.quote(operator_at, end)}"
            raise source.error(operator_at, reason, unsupported=possessive)
        operator = source.quote(at, end)
        items = self._open[-1].items
        if high is not None and high < low:
            raise source.error(at, f"invalid repeat {operator}: the maximum is below the minimum")
        if not items:
            raise source.error(at, f"nothing to repeat before {operator}")
        greedy = lazy == bool(self._flags & _SWAP_GREED)
        repeated = items[-1].repeated(
            Loop((low, high), greedy, self._flags & ~(_VERBOSE | _SWAP_GREED), braces)
        )
        if repeated.beyond:
            self._extended = True
            self._check_expansion(repeated.beyond, at)
        items[-1] = repeated
        self._operator_at = at
        self._at = end

    def _check_expansion(self, positions: int, at: int) -> None:
        if positions > MAX_EXPANDED_POSITIONS:
            reason = (
                f"repeats expand to {positions} positions; at most {MAX_EXPANDED_POSITIONS} are "
                f"allowed"
            )
            raise self._source.error(at, reason, unsupported=True)

    def _close(self, group: _Group) -> Operand:
        group.end_branch()
        operand = join(nodes.alternate, group.branches)
        self._check_expansion(operand.beyond, group.opened_at)
        return operand

    def _open_group(self) -> None:
        text, at, source = self._text, self._at, self._source
        if text[at + 1 : at + 2] != b"?":
            self._enter(at + 1, capturing=True)
        elif text.startswith((b"(?=", b"(?!", b"(?<=", b"(?<!"), at):
            raise source.error(at, "look-around is not supported", unsupported=True)
        elif text.startswith((b"(?P<", b"(?<"), at):
            start = text.index(b"<", at) + 1
            close = text.find(b">", start)
            name = text[start : max(close, start)]
            if close < 0 or not name or charclass.of(name) & ~_NAME_BYTES:
                shown = source.quote(at, close + 1 if 0 <= close < at + 60 else at + 20)
                raise source.error(
                    at, f"invalid group name in {shown}: ASCII letters, digits and _ are allowed"
                )
            self._enter(close + 1, capturing=True, name=name.decode("latin-1"))
        else:
            self._open_flags()

    def _open_flags(self) -> None:
        """`(?flags)`, `(?flags:` or `(?:` at the current offset."""
        text, at = self._text, self._at
        flags, negated, seen = self._flags, False, False
        i = at + 2
        while i < len(text) and text[i] not in b":)":
            if text[i] == ord("-") and not negated:
                negated, seen = True, False
            elif text[i] in _FLAGS:
                bit, seen = _FLAGS[text[i]], True
                flags = flags & ~bit if negated else flags | bit
                self._extended |= bit == _VERBOSE
            else:
                break
            i += 1
        if i >= len(text) or text[i] not in b":)" or (negated and not seen):
            reason = f"invalid or unsupported group {self._source.quote(at, i + 1)}"
            # atomic groups, conditions, recursion, callouts and flags of other engines
            raise self._source.error(at, reason, unsupported=i < len(text))
        if text[i] == ord(":"):
            self._enter(i + 1, capturing=False)
        self._flags = flags
        self._at = i + 1

    def _enter(self, end: int, *, capturing: bool, name: str | None = None) -> None:
        if len(self._open) > MAX_NESTING:
            raise self._source.error(self._at, f"groups are nested more than {MAX_NESTING} deep")
        index = None
        if capturing:
            self._captures += 1
            index = self._captures
            if name is not None:
                self._names.setdefault(name, index)
        self._open.append(_Group(self._at, index, name, self._flags))
        self._at = end
