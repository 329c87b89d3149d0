"""
A local FleetIQ for your tests, in its own thread or in a child process.

The thread has its own reactor, which is not installed. So it runs in programs with and without a
reactor, and several can run at the same time.
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
# Seconds until a request to a control fails: far more than it needs.
_TIMEOUT = 30.0


class ControlRefused(Exception):
    """A control returned an error, and nothing has changed. The message has the reason."""


class RunningFleetIQ:
    """
    A local FleetIQ that runs in a daemon thread, from its construction until L{stop} or the end of
    its C{with} block. All methods may be called from any thread.

    @ivar endpointUrl: the URL of its API, for C{endpoint_url} of a client.
    """

    def __init__(self, **options: Any) -> None:
        """
        @param options: those of L{LocalFleetIQ}. C{listen} defaults to a free port of this machine.
        @raise CannotListenError: if the port cannot be bound.
        @raise ValueError: if an option is wrong.
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
            self._stopThread()
            raise
        self.endpointUrl = self._fleetIQ.url
        self._http = build_opener(ProxyHandler({}))
        self._clients: list[Any] = []
        self._session: Any = None
        self._lock = Lock()

    @property
    def metadataUrl(self) -> str:
        """The URL of the first instance's metadata, without C{/latest}."""
        return self.endpointUrl

    def metadataUrlOf(self, instanceId: str) -> str:
        """Return the URL of an instance's metadata, without C{/latest}."""
        return f"{self.endpointUrl}/instances/{instanceId}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that make any AWS SDK, and the AWS CLI, use it."""
        return environmentOf(self.endpointUrl)

    @property
    def instanceIds(self) -> list[str]:
        """The ids of its current instances, those of its first group first."""
        return [instance["InstanceId"] for instance in self.state()["instances"]]

    def client(self, config: Any = None) -> Any:
        """
        Return a boto3 client that reads no environment variables and no files of AWS. L{stop}
        closes it.

        @param config: a C{botocore.config.Config}: time limits, retries.
        """
        from botocore.config import Config

        # A session is not thread-safe, and takes 60 ms to create.
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
        """Return everything that exists, as C{GET /_local/state} does."""
        return self._control("GET", "state")

    def journal(self) -> Any:
        """Return the last calls and events, oldest first, as C{GET /_local/journal} does."""
        return self._control("GET", "journal")["entries"]

    def advance(self, seconds: float) -> None:
        """Advance its clock. What expires by then, such as claims, expires at once."""
        self._control("POST", "clock", {"advance": seconds})

    def interrupt(self, instanceId: str, **members: Any) -> None:
        """Interrupt an instance, by default by Spot. See C{POST /_local/interrupt}."""
        self._control("POST", "interrupt", {"InstanceId": instanceId, **members})

    def fault(self, **members: Any) -> str:
        """Add a fault, and return its id. See C{POST /_local/faults}."""
        faultId: str = self._control("POST", "faults", members)["id"]
        return faultId

    def endFaults(self) -> None:
        """End all faults."""
        self._control("DELETE", "faults")

    def reset(self) -> None:
        """Restore the state at the start, with the time and without faults."""
        self._control("POST", "reset")

    def stop(self) -> None:
        """Stop it and its thread. Return when all connections are closed. May be called again."""
        with self._lock:
            for client in self._clients:
                client.close()
            self._clients.clear()
            if self._thread.is_alive():
                blockingCallFromThread(self._reactor, self._fleetIQ.stopService)
                self._stopThread()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _stopThread(self) -> None:
        self._reactor.callFromThread(self._reactor.stop)
        self._thread.join()
        # Not in its own thread: callFromThread above may still be writing to the waker.
        self._reactor.waker.connectionLost(connectionDone)

    def _control(self, method: str, control: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.endpointUrl}/_local/{control}", data, method=method)
        try:
            with self._http.open(request, timeout=_TIMEOUT) as response:
                return json.load(response)
        except HTTPError as error:
            with error:
                text = error.read().decode()
            raise ControlRefused(f"{method} /_local/{control}: {error.code} {text}") from None


class _ThreadReactor(PollReactor):
    """
    A reactor for a thread other than the main one. Unlike the epoll reactor it needs no file
    descriptor itself, and unlike select it accepts any descriptor.
    """

    # twisted.python.threadable must keep the thread of the program's own reactor, if there is one.
    _registerAsIOThread = False


def environmentOf(url: str) -> dict[str, str]:
    """Return the environment variables that make any AWS SDK use the local FleetIQ at this URL."""
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
    Run as a child process: print the URLs as one line of JSON, and end when standard input ends, or
    by a signal. The options are those of C{twistd fleetiq-local}.
    """
    options = Options()
    options.parseOptions(["--listen", ANY_PORT, *arguments])
    # End silently, as by SIGTERM. Python's own handler would print a traceback.
    signal(SIGINT, SIG_DFL)
    try:
        running = RunningFleetIQ(**settingsOf(options))
    except CannotListenError as error:
        raise SystemExit(f"fleetiq-local: {error}") from error
    except ValueError as error:
        raise SystemExit(f"fleetiq-local: --listen is {error}") from error
    with running as fleetIQ:
        urls = {"endpointUrl": fleetIQ.endpointUrl, "metadataUrl": fleetIQ.metadataUrl}
        sys.stdout.write(json.dumps(urls) + "\n")
        sys.stdout.flush()
        while os.read(sys.stdin.fileno(), 65536):
            pass


def _start(reactor: Any, options: dict[str, Any]) -> LocalFleetIQ:
    fleetIQ = LocalFleetIQ(reactor, **{"listen": ANY_PORT, **options})
    fleetIQ.startService()
    return fleetIQ


def _makeSession() -> Any:
    """Return a boto3 session that reads no environment variables and no files of AWS."""
    import boto3.session
    import botocore.session

    variables = {
        name: (None, None, default, convert)
        for name, (_, _, default, convert) in botocore.session.Session.SESSION_VARIABLES.items()
    }
    variables["config_file"] = variables["credentials_file"] = (None, None, os.devnull, None)
    return boto3.session.Session(
        aws_access_key_id="local",
        aws_secret_access_key="local",
        region_name=REGION,
        botocore_session=botocore.session.Session(session_vars=variables),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
