"""C{twistd fleetiq-local}: its options, and the service that they configure."""

import os
import re
from collections.abc import Mapping, Sequence
from errno import EACCES, EADDRINUSE
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python.usage import UsageError

from echoserver.commandline import CommandOptions, StartErrors
from echoserver.descriptors import raiseDescriptorLimit
from echoserver.local.clock import MAX_SCALE
from echoserver.local.http.imds import VERSIONS
from echoserver.local.model.groups import MAX_INSTANCES
from echoserver.local.model.metadatatree import LONGEST_VALUE
from echoserver.local.model.metadatavalues import readAssignment
from echoserver.local.model.settings import DEFAULTS, applySetting
from echoserver.local.model.values import quoted
from echoserver.local.service import DEFAULT_LISTEN, LocalFleetIQ
from echoserver.logwriter import RunnerLog
from echoserver.processsignals import interruptByDefault, runWithSignals
from echoserver.servicemanager import ServiceManager

_log = Logger(namespace="fleetiq.local")

_GROUP_NAME = re.compile(r"[a-zA-Z0-9.-]{1,128}")


class Options(CommandOptions):
    """The options of C{twistd fleetiq-local}. A wrong one ends it with a sentence and status 1."""

    command = program = "fleetiq-local"
    repeated = ("group", "setting", "metadata")
    synopsis = "[options]"
    longdesc = "A FleetIQ that runs on this machine, for any AWS SDK."
    optParameters: list[Sequence[Any]] = [  # noqa: RUF012 # usage.Options reads it from the class
        ["listen", None, DEFAULT_LISTEN, "Where it listens: a tcp: or tcp6: endpoint."],
        ["instances", None, "2", "Number of instances of each group."],
        [
            "health-timeout",
            None,
            "180",
            "Seconds without a health report after which a game server is dropped.",
        ],
        ["time-scale", None, "1", "Seconds of the local clock per real second."],
        ["imds", None, "both", "Versions of the instance metadata service: v1, v2 or both."],
        ["seed", None, None, "A whole number: makes ids and faults the same in each run."],
    ]

    optFlags: list[Sequence[Any]] = [  # noqa: RUF012 # as above
        ["autoscale", None, "Launch and terminate instances, as Auto Scaling does."],
        ["quotas", None, "Apply AWS's default quotas and rates."],
    ]

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        interruptByDefault()
        super().__init__(environ)
        self["group"] = []
        self["setting"] = DEFAULTS
        self["metadata"] = {}
        self["user-data"] = None

    def computed(self) -> Mapping[str, tuple[object, str]]:
        # These two have no values that can be written as in a file.
        return {"setting": (None, "default"), "metadata": (None, "default")}

    def opt_group(self, name: str) -> None:
        """A game server group that exists at the start; may be repeated. [default: local]"""
        if not _GROUP_NAME.fullmatch(name):
            raise UsageError(
                f"--group is {name!r}: a group's name has 1 to 128 letters, digits, '-' and '.'."
            )
        if name in self["group"]:
            raise UsageError(f"--group {name} is given twice.")
        self["group"].append(name)

    def opt_setting(self, assignment: str) -> None:
        """NAME=VALUE of what AWS does not document; a wrong NAME lists them; may be repeated."""
        try:
            self["setting"] = applySetting(self["setting"], assignment)
        except ValueError as error:
            raise UsageError(f"--setting is {error}") from error

    def opt_metadata(self, assignment: str) -> None:
        """KEY=VALUE of the metadata of all instances, such as ami-id=ami-1; may be repeated."""
        try:
            path, value = readAssignment(assignment)
        except ValueError as error:
            raise UsageError(f"--metadata is {error}") from error
        self["metadata"][path] = value

    def opt_user_data(self, path: str) -> None:
        """A file with the user data of all instances. [default: none]"""
        try:
            self["user-data"] = Path(path).read_bytes()
        except OSError as error:
            raise UsageError(
                f"--user-data is {quoted(path)}: it cannot be read: {error.strerror}."
            ) from error
        if len(self["user-data"]) > LONGEST_VALUE:
            raise UsageError(
                f"--user-data is {quoted(path)}: as on EC2 it may have {LONGEST_VALUE} bytes, "
                f"and has {len(self['user-data'])}."
            )

    def parseArgs(self, *rest: str) -> None:
        if rest:
            raise UsageError(f"{quoted(rest[0])} is not an option: options begin with --.")

    def postOptions(self) -> None:
        self["group"] = self["group"] or ["local"]
        self["instances"] = _whole("--instances", self["instances"], 1, MAX_INSTANCES)
        self["health-timeout"] = _number("--health-timeout", self["health-timeout"], 86400.0)
        self["time-scale"] = _number("--time-scale", self["time-scale"], MAX_SCALE)
        if self["imds"] not in VERSIONS:
            raise UsageError(f"--imds is {self['imds']!r}: it must be {', '.join(VERSIONS)}.")
        if self["seed"] is not None:
            self["seed"] = _whole("--seed", self["seed"], 0, 2**63)
        super().postOptions()


def settingsOf(options: Options) -> dict[str, Any]:
    """Return the options as the arguments of L{LocalFleetIQ}."""
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
        "metadata": options["metadata"],
        "userData": options["user-data"],
        "autoscale": bool(options["autoscale"]),
    }


class LocalProgram(LocalFleetIQ):
    """The local FleetIQ as a program: logs how to use it, and ends if it cannot listen."""

    signalled = False
    exitCode = 0

    def __init__(self, reactor: Any, options: Options, log: RunnerLog | None = None) -> None:
        # A quarter of the descriptors is left for files and the listening port.
        connections = raiseDescriptorLimit() * 3 // 4
        super().__init__(reactor, **settingsOf(options), maxConnections=connections)
        self._options = options
        self._runnerLog = log or RunnerLog(None)
        self._startErrors = StartErrors(options.foreground, options.pidFile)
        self._manager = ServiceManager(reactor, os.environ, lambda: f"FleetIQ on {self.url}")
        self.stopping = False

    def setServiceParent(self, parent: Any) -> None:
        """Attach to the application of twistd, and give it the log observer of L{RunnerLog}."""
        self._runnerLog.addTo(parent)
        super().setServiceParent(parent)

    def startService(self) -> None:
        self._runnerLog.start()
        try:
            super().startService()
        except CannotListenError as error:
            sentence = (
                f"fleetiq-local cannot listen on {self._options['listen']}: {error.socketError}. "
                + _hint(error)
            )
            raise self._startErrors.error(sentence) from error
        self._startErrors.started()
        self._manager.start()
        self._manager.ready()
        self._logUse()

    def stopService(self) -> Deferred[None]:
        self.stopping = True
        self._manager.stopping()
        self._manager.stop()
        return super().stopService()

    def skipGracePeriod(self) -> None:
        """Do nothing: a local FleetIQ stops at once."""

    stopWithoutGrace = skipGracePeriod

    def _logUse(self) -> None:
        groups, instances = self._options["group"], self._options["instances"]
        scale = self._options["time-scale"]
        timeout = self._options["health-timeout"] / scale
        _log.info(
            "FleetIQ for this machine on {url}, {groups}, {instances}{scale}",
            url=self.url,
            groups=("group " if len(groups) == 1 else "groups ") + ", ".join(groups),
            instances=f"{instances} instance{'' if instances == 1 else 's'}"
            + (" each" if len(groups) > 1 else ""),
            scale=""
            if scale == 1
            else f", its clock at {scale:g} s in a second: {timeout:.3g} s without "
            "a health report, and a game server is dropped",
            eventName="local.ready",
        )
        _log.info("See the fleet in a browser: {url}/", url=self.url, eventName="local.page")
        for name in ("AWS_ENDPOINT_URL_GAMELIFT", "AWS_EC2_METADATA_SERVICE_ENDPOINT"):
            _log.info(
                "For an SDK: export {name}={url}",
                name=name,
                url=self.url,
                eventName="local.variable",
            )


def makeService(options: Options) -> IService:
    from twisted.internet import reactor

    log = options.log
    try:
        program = LocalProgram(reactor, options, log)
    except ValueError as error:
        raise SystemExit(f"fleetiq-local: --listen is {error}") from error
    runWithSignals(reactor, program, log, options.foreground)
    return program


def _hint(error: CannotListenError) -> str:
    free = "--listen tcp:4571:interface=127.0.0.1"
    number = getattr(error.socketError, "errno", None)
    if number == EADDRINUSE:
        return f"Stop the program that listens there, or use another port, such as {free}"
    if number == EACCES:
        return f"Ports below 1024 require root: use a higher one, such as {free}"
    return f"The interface, {error.interface!r}, must be an address of this machine, such as {free}"


def _whole(option: str, value: str, least: int, most: int) -> int:
    if value.isascii() and value.isdigit() and len(value) < 20 and least <= int(value) <= most:
        return int(value)
    raise UsageError(f"{option} is {value!r}: it must be a whole number from {least} to {most}.")


def _number(option: str, value: str, most: float) -> float:
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if 0 < number <= most:
        return number
    raise UsageError(f"{option} is {value!r}: it must be a number above 0, at most {most:.12g}.")
