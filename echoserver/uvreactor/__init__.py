"""
A Twisted reactor whose TCP servers run on uvloop: C{twistd --reactor=uvloop}.

L{UvloopReactor} is Twisted's C{AsyncioSelectorReactor} on a uvloop loop, with two differences.
uvloop's transports read and write the connections of TCP ports. On Linux, the reset of a connection
is noticed even while the connection is not read. This package imports no other package of the
project.
"""

from twisted.internet.main import installReactor

from echoserver.uvreactor.reactor import UvloopReactor

__all__ = ["UvloopReactor", "install"]


def install() -> None:
    """Install this reactor as C{twisted.internet.reactor}."""
    installReactor(UvloopReactor())
