"""
For other people's tests: a local FleetIQ in a thread of its own, or in a child process.

The thread has a reactor of its own, which nothing else uses and which is not installed: it runs in
programs that have no reactor and beside one that does, several times over, one or many at once.
C{python -m echoserver.local.testing} is the child process, for tests in any language.
"""

import json
import os
import sys
from collections.abc import Sequence
from signal import SIG_DFL, SIGINT, signal
from threading import Lock, Thread
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from twisted.internet.error import CannotListenError
from twisted.internet.pollreactor import PollReactor
from twisted.internet.protocol import connectionDone
from twisted.internet.threads import blockingCallFromThread

from echoserver.local.model.values import REGION
from echoserver.local.service import LocalFleetIQ
from echoserver.local.tap import Options, settingsOf

ANY_PORT = "tcp:0:interface=127.0.0.1"
# How long a control may take to answer: far more than it needs.
_PATIENCE = 30.0


class ControlRefused(Exception):
    """A control was answered with an error, whose sentence this is; nothing has changed."""


class RunningFleetIQ:
    """
    A local FleetIQ that runs, in a daemon thread, from its making until L{stop}, or to the end of
    its C{with} block. All methods may be called from any thread.

    @ivar endpointUrl: where its API is, for C{endpoint_url} of a client.
    """

    def __init__(self, **options: Any) -> None:
        """
        @param options: those of L{LocalFleetIQ}; without C{listen}, any free port of this machine.
        @raise CannotListenError: The port cannot be bound.
        @raise ValueError: An option is wrong.
        """
        self._reactor = _ThreadReactor()
        self._thread = Thread(
            target=self._reactor.run, args=(False,), name="fleetiq-local", daemon=True
        )
        self._thread.start()
        try:
            self._fleetIQ: Any = blockingCallFromThread(
                self._reactor, _start, self._reactor, options
            )
        except BaseException:
            self._end()
            raise
        self.endpointUrl = self._fleetIQ.url
        self._http = build_opener(ProxyHandler({}))
        self._clients: list[Any] = []
        self._session: Any = None
        self._lock = Lock()

    @property
    def metadataUrl(self) -> str:
        """Where the instance metadata of its first instance is, without C{/latest}."""
        return self.endpointUrl

    def metadataUrlOf(self, instanceId: str) -> str:
        """Where the instance metadata of this instance is, without C{/latest}."""
        return f"{self.endpointUrl}/instances/{instanceId}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a process of any SDK, its command line too, speaks to it."""
        return environmentOf(self.endpointUrl)

    @property
    def instanceIds(self) -> list[str]:
        """The ids of its instances as they are now, those of its first group first."""
        return [each["InstanceId"] for each in self.state()["instances"]]

    def client(self, config: Any = None) -> Any:
        """
        A boto3 client of it, which reads no variable or file of AWS's; L{stop} closes it.

        @param config: a C{botocore.config.Config}: time limits, retries.
        """
        from botocore.config import Config

        # A session is not for many threads at once, and its making costs 60 ms.
        with self._lock:
            self._session = self._session or _makeSession()
            client = self._session.client(
                "gamelift",
                endpoint_url=self.endpointUrl,
                config=Config(proxies={}).merge(config or Config()),
            )
            self._clients.append(client)
        return client

    def state(self) -> Any:
        """All there is, as C{GET /_local/state} tells it."""
        return self._control("GET", "state")

    def journal(self) -> Any:
        """The last calls and events, the oldest first, as C{GET /_local/journal} tells them."""
        return self._control("GET", "journal")["entries"]

    def advance(self, seconds: float) -> None:
        """Move its clock on: claims, health, groups and notices follow at once."""
        self._control("POST", "clock", {"advance": seconds})

    def interrupt(self, instanceId: str, **order: Any) -> None:
        """Tell an instance to go, in the words of C{POST /_local/interrupt}; if none, by Spot."""
        self._control("POST", "interrupt", {"InstanceId": instanceId, **order})

    def fault(self, **order: Any) -> str:
        """Order a fault, in the words of C{POST /_local/faults}; its id."""
        faultId: str = self._control("POST", "faults", order)["id"]
        return faultId

    def endFaults(self) -> None:
        """End all faults that were ordered."""
        self._control("DELETE", "faults")

    def reset(self) -> None:
        """Back to the state at the start, the time and the faults too."""
        self._control("POST", "reset")

    def stop(self) -> None:
        """End it and its thread; returns when port and connections are closed. May be repeated."""
        with self._lock:
            for client in self._clients:
                client.close()
            self._clients.clear()
            if self._thread.is_alive():
                blockingCallFromThread(self._reactor, self._fleetIQ.stopService)
                self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _end(self) -> None:
        self._reactor.callFromThread(self._reactor.stop)
        self._thread.join()
        # Not by its thread as it ends: the one that told it to may still be writing to the waker.
        self._reactor.waker.connectionLost(connectionDone)

    def _control(self, method: str, control: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.endpointUrl}/_local/{control}", data, method=method)
        try:
            with self._http.open(request, timeout=_PATIENCE) as response:
                return json.load(response)
        except HTTPError as error:
            with error:
                text = error.read().decode()
            raise ControlRefused(f"{method} /_local/{control}: {error.code} {text}") from None


class _ThreadReactor(PollReactor):
    """
    A reactor for a thread that is not the main one. Of the kinds there are, poll's needs no file
    descriptor of its own and takes any.
    """

    # The main thread's reactor, if there is one, is the one that twisted.python.threadable is of.
    _registerAsIOThread = False


def environmentOf(url: str) -> dict[str, str]:
    """What points any AWS SDK at the local FleetIQ of this URL, whose credentials nobody checks."""
    return {
        "AWS_ENDPOINT_URL_GAMELIFT": url,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }


def main(arguments: Sequence[str]) -> None:
    """
    The child process: says in one line of JSON where it is, and ends when its standard input does,
    or by a signal. Its options are those of C{twistd fleetiq-local}.
    """
    options = Options()
    options.parseOptions(["--listen", ANY_PORT, *arguments])
    # As SIGTERM does; Python's own would print a traceback.
    signal(SIGINT, SIG_DFL)
    try:
        running = RunningFleetIQ(**settingsOf(options))
    except CannotListenError as error:
        raise SystemExit(f"fleetiq-local: {error}") from error
    except ValueError as error:
        raise SystemExit(f"fleetiq-local: --listen is {error}") from error
    with running as fleetIQ:
        addresses = {"endpointUrl": fleetIQ.endpointUrl, "metadataUrl": fleetIQ.metadataUrl}
        sys.stdout.write(json.dumps(addresses) + "\n")
        sys.stdout.flush()
        while os.read(sys.stdin.fileno(), 65536):
            pass


def _start(reactor: Any, options: dict[str, Any]) -> LocalFleetIQ:
    fleetIQ = LocalFleetIQ(reactor, **{"listen": ANY_PORT, **options})
    fleetIQ.startService()
    return fleetIQ


def _makeSession() -> Any:
    """A boto3 session that reads no variable and no file of AWS's."""
    import boto3.session
    import botocore.session

    unread = {
        name: (None, None, default, convert)
        for name, (_, _, default, convert) in botocore.session.Session.SESSION_VARIABLES.items()
    }
    unread["config_file"] = unread["credentials_file"] = (None, None, os.devnull, None)
    return boto3.session.Session(
        aws_access_key_id="local",
        aws_secret_access_key="local",
        region_name=REGION,
        botocore_session=botocore.session.Session(session_vars=unread),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
