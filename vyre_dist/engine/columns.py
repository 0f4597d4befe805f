"""TextColumns: where matches begin and end in the text of their lines, in UTF-16 code units.

Editors and SARIF count so.

Text is UTF-8. What is not is read as most programs do: each longest beginning of a character, or
else each byte, is one U+FFFD. So every byte offset has a column, and a match that cuts a character
begins or ends with all of it.
"""

from __future__ import annotations

from codecs import utf_8_decode

from vyre_dist.engine.document import BytesDocument, Document

_BOM = b"\xef\xbb\xbf"
_CHUNK = 1 << 20


class TextColumns:
    """The columns of one document's ascending matches.

    Of a line, no byte before a match is looked at twice.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._line_start = -1
        self._at = 0
        self._units = 0
        # bytes before _at that begin a character, if what comes goes on with it
        self._begun = b""

    def of(self, line_start: int, start: int, match: bytes) -> tuple[int, int, int]:
        """(newlines in it, column of its first character, column after its last) of a match.

        `line_start`: where its first line begins. Columns count from 1; a byte order mark is no
        part of the text. Offsets must not descend from call to call.
        """
        if line_start != self._line_start:
            self._line_start = self._at = line_start
            self._units, self._begun = 0, b""
            if line_start == 0 and self._document.read(0, min(3, self._document.size)) == _BOM:
                self._at = 3
        if self._at > start:  # in the byte order mark
            text = match[self._at - start :]
        else:
            text = match
            self._advance(start)
        if self._begun and not self._goes_on(self._begun, start):
            self._units, self._begun = self._units + 1, b""
        units, begun = self._units, self._begun
        newlines = match.count(b"\n")
        if newlines:
            text, units, begun = match[match.rfind(b"\n") + 1 :], 0, b""
        more, begun = _count(begun, text)
        units += more
        if begun:
            units += self._width(begun, start + len(match))
        return newlines, self._units + 1, units + 1

    def _advance(self, to: int) -> None:
        document, at = self._document, self._at
        if to - at < _CHUNK:  # nearly always, and a loop would take twice the time
            text = (
                document.data[at:to]
                if isinstance(document, BytesDocument)
                else document.read(at, to)
            )
            more, self._begun = _count(self._begun, text)
            self._units += more
        else:
            for low in range(at, to, _CHUNK):
                more, self._begun = _count(self._begun, document.read(low, min(to, low + _CHUNK)))
                self._units += more
        self._at = to

    def _goes_on(self, begun: bytes, offset: int) -> bool:
        """Whether the byte at `offset` belongs to the same character as `begun`, just before it."""
        following = self._after(offset, 1)
        return bool(following) and len((begun + following).decode("utf-8", "replace")) == 1

    def _width(self, begun: bytes, offset: int) -> int:
        """The code units of the character that begins with `begun`, which ends at `offset`."""
        text = (begun + self._after(offset, 3)).decode("utf-8", "replace")
        return 2 if text[0] > "\uffff" else 1

    def _after(self, offset: int, length: int) -> bytes:
        return self._document.read(offset, min(self._document.size, offset + length))


def _count(begun: bytes, data: bytes) -> tuple[int, bytes]:
    """The code units of begun + data, and what at its end may begin one character more."""
    if not begun and data.isascii():
        return len(data), b""
    data = begun + data
    text, used = utf_8_decode(data, "replace", False)
    units, begun = len(text.encode("utf-16-le")) // 2, data[used:]
    if len(begun) > 1 and len(begun.decode("utf-8", "replace")) > 1:
        # half a surrogate: the decoder waits for the rest of it, which would make no character
        # either
        more, begun = _count(b"", begun[1:])
        units += 1 + more
    return units, begun
