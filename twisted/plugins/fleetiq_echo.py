"""What twistd lists: names and where they live, so that listing them imports nothing of ours."""

from twisted.application.reactors import Reactor
from twisted.application.service import ServiceMaker

fleetiqEcho = ServiceMaker(
    "fleetiq-echo",
    "echoserver.server.tap",
    "A TCP echo game server on Amazon GameLift FleetIQ.",
    "fleetiq-echo",
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
