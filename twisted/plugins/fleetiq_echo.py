"""The commands and the reactor that twistd lists, by name: listing them imports no game."""

from twisted.application.reactors import Reactor
from twisted.application.service import ServiceMaker

from echoserver.game import gameServiceMaker

fleetiqEcho = gameServiceMaker(
    "fleetiq-echo",
    "echoserver.echo.makeFactory",
    "A TCP echo game server on Amazon GameLift FleetIQ.",
    options="echoserver.echo.Options",
)

fleetiqGame = gameServiceMaker(
    "fleetiq-game",
    None,
    "Any Twisted protocol factory as a game server on Amazon GameLift FleetIQ.",
)

fleetiqWrap = ServiceMaker(
    "fleetiq-wrap",
    "echoserver.wrap.tap",
    "Any executable as a game server on Amazon GameLift FleetIQ.",
    "fleetiq-wrap",
)

fleetiqLocal = ServiceMaker(
    "fleetiq-local",
    "echoserver.local.tap",
    "A FleetIQ that runs on this machine, for any AWS SDK.",
    "fleetiq-local",
)

uvloop = Reactor(
    "uvloop",
    "echoserver.uvreactor",
    "A reactor on uvloop, whose TCP servers are as fast as uvloop's own.",
)
