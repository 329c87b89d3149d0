"""Options of C{twistd fleetiq-local} to services."""

import re
from collections.abc import Sequence
from errno import EACCES, EADDRINUSE
from getopt import GetoptError
from typing import Any, ClassVar

from twisted.application.service import IService
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError

from echoserver.local.clock import HIGHEST_SCALE
from echoserver.local.http.imds import VERSIONS
from echoserver.local.model.groups import MOST_INSTANCES
from echoserver.local.model.settings import DEFAULTS, changed
from echoserver.local.model.values import quoted
from echoserver.local.service import DEFAULT_LISTEN, LocalFleetIQ

_log = Logger(namespace="fleetiq.local")

_GROUP_NAME = re.compile(r"[a-zA-Z0-9.-]{1,128}")


class Options(UsageOptions):
    """The options of C{twistd fleetiq-local}; a wrong one is a sentence and exit status 1."""

    synopsis = "[options]"
    longdesc = "A FleetIQ that runs on this machine, for any AWS SDK."
    optParameters: ClassVar = [
        ["listen", None, DEFAULT_LISTEN, "Where it listens, a tcp: or tcp6: endpoint."],
        ["instances", None, "2", "How many instances each group has."],
        ["health-timeout", None, "180", "Seconds of silence until a game server is dropped."],
        ["time-scale", None, "1", "Seconds of the local clock that pass in a real one."],
        ["imds", None, "both", "How the instance metadata is asked for: v1, v2 or both."],
        ["seed", None, None, "A whole number: with it faults strike the same calls again."],
    ]

    optFlags: ClassVar = [
        ["quotas", None, "Hold callers to AWS's default quotas and rates."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["group"] = []
        self["setting"] = DEFAULTS

    def opt_group(self, name: str) -> None:
        """A game server group that there is; may be repeated. [default: local]"""
        if not _GROUP_NAME.fullmatch(name):
            raise UsageError(
                f"--group is {name!r}: a group's name has 1 to 128 letters, digits, '-' and '.'."
            )
        if name in self["group"]:
            raise UsageError(f"--group {name} is given twice.")
        self["group"].append(name)

    def opt_setting(self, assignment: str) -> None:
        """NAME=VALUE of what AWS leaves undocumented; a wrong NAME lists them; may be repeated."""
        try:
            self["setting"] = changed(self["setting"], assignment)
        except ValueError as error:
            raise UsageError(f"--setting is {error}") from error

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        try:
            super().parseOptions(options)
        except UsageError as error:
            unread = isinstance(error.__context__, GetoptError)
            hint = "; 'twistd fleetiq-local --help' lists the options." if unread else ""
            raise SystemExit(f"fleetiq-local: {error}{hint}") from error

    def parseArgs(self, *rest: str) -> None:
        if rest:
            raise UsageError(f"{quoted(rest[0])} is one word too many: options begin with --.")

    def postOptions(self) -> None:
        self["group"] = self["group"] or ["local"]
        self["instances"] = _whole("--instances", self["instances"], 1, MOST_INSTANCES)
        self["health-timeout"] = _number("--health-timeout", self["health-timeout"], 86400.0)
        self["time-scale"] = _number("--time-scale", self["time-scale"], HIGHEST_SCALE)
        if self["imds"] not in VERSIONS:
            raise UsageError(f"--imds is {self['imds']!r}: it must be {', '.join(VERSIONS)}.")
        if self["seed"] is not None:
            self["seed"] = _whole("--seed", self["seed"], 0, 2**63)
        # The pid file of twistd -n makes a second program in the same folder refuse to start.
        parent: dict[str, Any] = self.parent or {}
        if parent.get("nodaemon") and parent.get("pidfile") == "twistd.pid":
            parent["pidfile"] = ""


def settingsOf(options: Options) -> dict[str, Any]:
    """The options as the arguments of L{LocalFleetIQ}."""
    return {
        "listen": options["listen"],
        "groups": options["group"],
        "instances": options["instances"],
        "healthTimeout": options["health-timeout"],
        "seed": options["seed"],
        "imds": options["imds"],
        "timeScale": options["time-scale"],
        "settings": options["setting"],
        "quotas": bool(options["quotas"]),
    }


class LocalProgram(LocalFleetIQ):
    """The local FleetIQ as a program of its own: says how to use it, ends if it cannot listen."""

    def __init__(self, reactor: Any, options: Options) -> None:
        super().__init__(reactor, **settingsOf(options))
        self._options = options

    def startService(self) -> None:
        try:
            super().startService()
        except CannotListenError as error:
            sentence = (
                f"fleetiq-local cannot listen on {self._options['listen']}: {error.socketError}. "
                + _wayOut(error)
            )
            # Of an exit twistd's daemon would not tell its parent process, which waits for word.
            parent: dict[str, Any] = self._options.parent or {"nodaemon": True}
            end = SystemExit if parent["nodaemon"] else RuntimeError
            raise end(sentence) from error
        groups, instances = self._options["group"], self._options["instances"]
        scale = self._options["time-scale"]
        lapse = self._options["health-timeout"] / scale
        _log.info(
            "FleetIQ for this machine on {url}, {groups}, {instances}{pace}",
            url=self.url,
            groups=("group " if len(groups) == 1 else "groups ") + ", ".join(groups),
            instances=f"{instances} instance{'' if instances == 1 else 's'}"
            + (" each" if len(groups) > 1 else ""),
            pace=""
            if scale == 1
            else f", its clock at {scale:g} s in a second: {lapse:.3g} s without "
            "a health report, and a game server is dropped",
        )
        for name in ("AWS_ENDPOINT_URL_GAMELIFT", "AWS_EC2_METADATA_SERVICE_ENDPOINT"):
            _log.info("For an SDK: export {name}={url}", name=name, url=self.url)


def makeService(options: Options) -> IService:
    from twisted.internet import reactor

    try:
        return LocalProgram(reactor, options)
    except ValueError as error:
        raise SystemExit(f"fleetiq-local: --listen is {error}") from error


def _wayOut(error: CannotListenError) -> str:
    free = "--listen tcp:4571:interface=127.0.0.1"
    number = getattr(error.socketError, "errno", None)
    if number == EADDRINUSE:
        return f"End what listens there, or take another port, such as {free}"
    if number == EACCES:
        return f"Ports below 1024 need root: take a higher one, such as {free}"
    return f"The interface, {error.interface!r}, must be an address of this machine, such as {free}"


def _whole(option: str, given: str, least: int, most: int) -> int:
    if given.isascii() and given.isdigit() and len(given) < 20 and least <= int(given) <= most:
        return int(given)
    raise UsageError(f"{option} is {given!r}: it must be a whole number from {least} to {most}.")


def _number(option: str, given: str, most: float) -> float:
    try:
        number = float(given)
    except ValueError:
        number = 0.0
    if 0 < number <= most:
        return number
    raise UsageError(f"{option} is {given!r}: it must be a number above 0, at most {most:.12g}.")
