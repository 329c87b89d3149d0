"""
Escape text from outside for a log line, a status, or a terminal.

Text that another program chooses (a reply, a response, a file) is passed to L{printable} before it
becomes a part of a message.
"""

from __future__ import annotations

MAX_LENGTH = 300


def printable(text: object, limit: int = MAX_LENGTH) -> str:
    """
    Return the text in one line of at most C{limit} characters, and C{...} if it is longer.

    Whitespace becomes one space. Each other character that is not printable becomes its escape
    sequence: control characters (ESC), characters that change the direction of text, invisible
    ones, and surrogates.
    """
    # The cut comes first, so that a long text costs no time.
    whole = str(text)
    line = " ".join(whole[: 4 * limit].split())
    if not line.isprintable():
        line = "".join(map(_escape, line))
    isCut = len(line) > limit or len(whole) > 4 * limit
    return f"{line[:limit]}..." if isCut else line


def _escape(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
