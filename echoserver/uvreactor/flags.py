"""Truths of an object that share one attribute."""

from __future__ import annotations

from typing import Protocol as Seam


class Flagged(Seam):
    """
    What has flags.

    @ivar flags: all of them, 0 at the start. What has eight or fewer costs nothing besides: Python
        keeps small numbers once.
    """

    flags: int


class Flag:
    """
    One bit of C{flags}, the first that is declared the lowest; all are declared in one class. A
    dozen of them take 8 bytes of each object, where a dozen attributes take 96.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        declared = [each for each in vars(owner).values() if isinstance(each, Flag)]
        self._bit = 1 << declared.index(self)

    def __get__(self, it: Flagged, owner: type) -> bool:
        return bool(it.flags & self._bit)

    def __set__(self, it: Flagged, yes: bool) -> None:
        it.flags = it.flags | self._bit if yes else it.flags & ~self._bit
