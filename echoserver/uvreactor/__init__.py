"""
A Twisted reactor whose TCP servers run on uvloop: C{twistd --reactor=uvloop}.

L{UvloopReactor} is Twisted's C{AsyncioSelectorReactor} on a uvloop loop, with two differences.
Connections of TCP ports use uvloop's transports. On Linux, the reset of a connection is detected
even while reading is paused. This package imports no other package of the project.
"""

from twisted.internet.main import installReactor

from echoserver.uvreactor.reactor import UvloopReactor

__all__ = ["UvloopReactor", "install"]


def install() -> None:
    """Install this reactor as C{twisted.internet.reactor}."""
    installReactor(UvloopReactor())
