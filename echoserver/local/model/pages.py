"""Pure: the pages of sorted lists, and the tokens that continue them."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from itertools import islice
from typing import TypeVar

from sortedcontainers import SortedList

Key = TypeVar("Key", int, str)


def cutPage(
    keys: SortedList[Key], after: Key | None, size: int, descending: bool = False
) -> tuple[list[Key], bool]:
    """
    Return a page of sorted keys, and whether more keys follow it. A key that stays in the list
    while a caller reads its pages is in exactly one of them.

    @param after: the last key of the page before, which may have been removed; C{None} for the
        first page.
    @param size: how many keys the page has at most.
    """
    following = (
        keys.irange(maximum=after, inclusive=(True, False), reverse=True)
        if descending
        else keys.irange(minimum=after, inclusive=(False, True))
    )
    page = list(islice(following, size + 1))
    return page[:size], len(page) > size


def writeToken(listing: str, after: int | str) -> str:
    """
    Return the token of the page that follows a key.

    @param listing: identifies the list. No other list may have this text.
    """
    return urlsafe_b64encode(f"{listing} {after}".encode()).decode("ascii")


def readToken(listing: str, token: str) -> str:
    """
    Return the key that the page of this token follows.

    @raise ValueError: if L{writeToken} did not make this token for this list.
    """
    text = urlsafe_b64decode(token.encode("ascii")).decode("ascii")
    name, _, after = text.rpartition(" ")
    if name != listing or writeToken(listing, after) != token:
        raise ValueError(f"The token {token} does not continue the list {listing}.")
    return after
