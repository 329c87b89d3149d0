"""Pure: pages of a sorted list whose members come and go, and the tokens between the pages."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from collections.abc import Sequence


def cutPage(keys: Sequence[str], after: str | None, size: int) -> tuple[list[str], bool]:
    """
    At most C{size} of the ascending C{keys} that come after the key C{after}, which may be gone by
    now, and whether more follow. So nobody is listed twice or missed who was there all along.
    """
    start = 0 if after is None else bisect_right(keys, after)
    return list(keys[start : start + size]), start + size < len(keys)


def writeToken(listing: str, after: int | str) -> str:
    """The token that continues C{listing}, a name no other listing has, after this key."""
    return urlsafe_b64encode(f"{listing} {after}".encode()).decode("ascii")


def readToken(listing: str, token: str) -> str:
    """
    The key that C{token} continues C{listing} after.

    @raise ValueError: The token is not one that L{writeToken} made for this listing.
    """
    text = urlsafe_b64decode(token.encode("ascii")).decode("ascii")
    name, _, after = text.rpartition(" ")
    if name != listing or writeToken(listing, after) != token:
        raise ValueError(f"{token} does not continue {listing}")
    return after
