"""
A Twisted reactor whose TCP servers run on uvloop: C{twistd --reactor=uvloop}.

It is L{AsyncioSelectorReactor} over a uvloop loop, but for two things: connections to its TCP
ports are read and written by uvloop's own transports, and no reset is missed. Nothing in here
knows of the rest of this project.
"""

from twisted.internet.main import installReactor

from echoserver.uvreactor.reactor import UvloopReactor

__all__ = ["UvloopReactor", "install"]


def install() -> None:
    """Make this the process's reactor."""
    installReactor(UvloopReactor())
