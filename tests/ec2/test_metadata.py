"""Who this instance is: tokens, what is asked and in which order, and what players are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionLost, ConnectionRefusedError, TimeoutError
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived
from twisted.web.http_headers import Headers

from echoserver.ec2.metadata import (
    ANSWER_TIMEOUT,
    LONGEST_REPLY,
    InstanceMetadata,
    Item,
    NoMetadata,
    makeHTTPClient,
    serviceURL,
)
from tests.awsdoubles import INSTANCE_ID, METADATA, MetadataService
from tests.metadatadoubles import EVERYTHING, MetadataTestCase


class StuckResponse:
    """A client, and its response, whose body begins and never ends."""

    code = 200
    headers = Headers()

    def __init__(self) -> None:
        self.transport = StringTransport()

    def request(self, *_: object, **_options: object) -> Deferred[StuckResponse]:
        return succeed(self)

    def deliverBody(self, protocol: Protocol) -> None:
        self.protocol = protocol
        protocol.makeConnection(self.transport)
        protocol.dataReceived(b"half of")


class TokenTests(MetadataTestCase):
    """One token serves until it is refused."""

    def test_reused(self) -> None:
        """A token is asked for once."""
        service = MetadataService(EVERYTHING)
        metadata = self.metadata(service)
        self.assertEqual(self.result(metadata.get("instance-id")), INSTANCE_ID)
        self.assertEqual(self.result(metadata.get("placement/region")), "eu-west-3")
        self.assertEqual(
            service.asked,
            [
                ("PUT", "/latest/api/token"),
                ("GET", "/latest/meta-data/instance-id"),
                ("GET", "/latest/meta-data/placement/region"),
            ],
        )

    def test_renewed(self) -> None:
        """A token that is refused is renewed, and the item is asked for again."""
        service = MetadataService(EVERYTHING)
        metadata = self.metadata(service)
        self.result(metadata.get("instance-id"))
        service.refusing = 1
        self.assertEqual(self.result(metadata.get("instance-id")), INSTANCE_ID)
        self.assertEqual(service.tokens, 2)
        self.assertEqual(self.result(metadata.get("ipv6")), "2001:db8::7")
        self.assertEqual(service.tokens, 2)

    def test_renewedOnce(self) -> None:
        """A token that is refused as soon as it is given out is no reason to go on."""
        service = MetadataService(EVERYTHING)
        service.refusing = 99
        self.assertEqual(
            self.sentence(self.metadata(service).get("instance-id")),
            f"The instance metadata at {METADATA} answers instance-id with 401.",
        )
        self.assertEqual(service.tokens, 2)

    def test_refused(self) -> None:
        """Who gets no token asks nothing else; a proxy's page is no token."""
        for status in (403, 404, 500):
            service = MetadataService(EVERYTHING)
            service.tokenStatus = status
            self.assertEqual(
                self.sentence(self.metadata(service).get("instance-id")),
                f"The instance metadata at {METADATA} gives no token, but {status}.",
            )
            self.assertEqual(len(service.asked), 1)


class ItemTests(MetadataTestCase):
    """What the service has, has not, and does not say."""

    def test_date(self) -> None:
        """An item carries the service's own time, if the service says it."""
        service = MetadataService(EVERYTHING)
        metadata = self.metadata(service)
        for date, seconds in (
            ("Mon, 18 Sep 2017 08:20:00 GMT", 1505722800.0),
            ("yesterday", None),
            ("", None),
        ):
            service.date = date
            item = self.result(metadata.item("instance-id"))
            self.assertEqual(item, Item(INSTANCE_ID, seconds))

    def test_cancelled(self) -> None:
        """Who stops asking is not told of a silence."""
        metadata = self.metadata(MetadataService({"instance-id": None}))
        asking = Deferred.fromCoroutine(metadata.item("instance-id"))
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_absent(self) -> None:
        """404 and blanks are an item that the instance does not have, whatever page comes along."""
        metadata = self.metadata(MetadataService({"public-ipv4": "", "ipv6": " \n"}))
        for path in ("public-hostname", "public-ipv4", "ipv6"):
            self.assertIsNone(self.result(metadata.get(path)))

    def test_page(self) -> None:
        """A page that something else shows in its place is no value."""
        for page in ("<html>Welcome</html>", "two words", "two\nlines", "\x1b[2J"):
            self.assertEqual(
                self.sentence(self.metadata(MetadataService({"ipv6": page})).get("ipv6")),
                f"The instance metadata at {METADATA} answers ipv6 with what cannot be one.",
            )

    def test_stripped(self) -> None:
        """The line end that some emulators add is not part of the value."""
        metadata = self.metadata(MetadataService({"instance-id": f"{INSTANCE_ID}\n"}))
        self.assertEqual(self.result(metadata.get("instance-id")), INSTANCE_ID)

    def test_otherStatus(self) -> None:
        """Neither 200 nor 404 is a sentence, and its page no value."""
        self.assertEqual(
            self.sentence(self.metadata(MetadataService({"ipv6": 500})).get("ipv6")),
            f"The instance metadata at {METADATA} answers ipv6 with 500.",
        )

    def test_silent(self) -> None:
        """Two seconds without an answer end the wait."""
        metadata = self.metadata(MetadataService({"instance-id": None}))
        asked = Deferred.fromCoroutine(metadata.get("instance-id"))
        self.clock.advance(ANSWER_TIMEOUT - 0.1)
        self.assertNoResult(asked)
        self.clock.advance(0.1)
        self.assertEqual(
            str(self.failureResultOf(asked, NoMetadata).value),
            f"The instance metadata at {METADATA} does not answer: nothing whole within 2 s.",
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stuck(self) -> None:
        """A reply that stops midway is not waited for, nor is its connection kept."""
        response = StuckResponse()
        metadata = InstanceMetadata(self.clock, cast(Any, response), lambda: METADATA)
        asked = Deferred.fromCoroutine(metadata.get("instance-id"))
        self.clock.advance(ANSWER_TIMEOUT)
        self.failureResultOf(asked, NoMetadata)
        self.assertTrue(response.transport.disconnecting)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_tooLong(self) -> None:
        """A reply that goes on and on is not read on."""
        response = StuckResponse()
        metadata = InstanceMetadata(self.clock, cast(Any, response), lambda: METADATA)
        asked = Deferred.fromCoroutine(metadata.get("instance-id"))
        response.protocol.dataReceived(b"x" * LONGEST_REPLY)
        self.assertTrue(response.transport.disconnecting)
        response.protocol.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(asked, NoMetadata)

    def test_notReached(self) -> None:
        """What keeps us from the service is named, without Twisted's wrapping."""

        class Broken:
            def __init__(self, error: Exception) -> None:
                self.error = error

            def request(self, *args: object, **options: object) -> Deferred[Any]:
                return fail(self.error)

        for error, why in [
            (ConnectionRefusedError(), "Connection was refused by other side"),
            (TimeoutError(), "User timeout caused connection failure"),
            (ResponseNeverReceived([Failure(ValueError("no HTTP."))]), "no HTTP"),
            (ValueError(), "ValueError"),
        ]:
            http: Any = Broken(error)
            metadata = InstanceMetadata(self.clock, http, lambda: METADATA)
            self.assertEqual(
                self.sentence(metadata.get("instance-id")),
                f"The instance metadata at {METADATA} does not answer: {why}.",
            )

    def test_path(self) -> None:
        """The URL may have a path: the local FleetIQ has one for each instance."""
        below = f"/instances/{INSTANCE_ID}"
        service = MetadataService(EVERYTHING, below=below)
        metadata = self.metadata(service, METADATA + below)
        self.assertEqual(self.result(metadata.get("instance-id")), INSTANCE_ID)

    def test_makeHTTPClient(self) -> None:
        """The client of a process gives up connecting after a second."""
        reactor = MemoryReactorClock()
        makeHTTPClient(reactor).get(METADATA).addErrback(lambda _: None)
        ((_, port, _, timeout, _),) = reactor.tcpClients
        self.assertEqual((port, timeout), (80, 1.0))


class ServiceURLTests(SynchronousTestCase):
    """The variables that AWS's own tools honour."""

    def test_table(self) -> None:
        """Which URL they come to."""
        for environ, url in [
            ({}, "http://169.254.169.254"),
            ({"MODE": "IPv6"}, "http://[fd00:ec2::254]"),
            ({"MODE": "IPv4"}, "http://169.254.169.254"),
            ({"": "http://h:1338/"}, "http://h:1338"),
            ({"": "http://h:1338/instances/i-1/"}, "http://h:1338/instances/i-1"),
            ({"": "https://h", "MODE": "ipv6"}, "https://h"),
            ({"": ""}, "http://169.254.169.254"),
        ]:
            self.assertEqual(serviceURL(named(environ)), url)

    def test_disabled(self) -> None:
        """Only "true" switches it off, in any case."""
        for value in ("true", "True", "TRUE"):
            error = self.assertRaises(NoMetadata, serviceURL, {"AWS_EC2_METADATA_DISABLED": value})
            self.assertEqual(
                str(error), "AWS_EC2_METADATA_DISABLED is true: the instance metadata is not asked."
            )
        for value in ("", "1", "yes", "false"):
            self.assertEqual(serviceURL({"AWS_EC2_METADATA_DISABLED": value}), METADATA)

    def test_noURL(self) -> None:
        """What is no URL is a sentence that shows it."""
        for value in ("nonsense", "h:1338", "ftp://h", "http://", "http://[", "http://h:99999"):
            error = self.assertRaises(NoMetadata, serviceURL, named({"": value}))
            self.assertEqual(
                str(error),
                f"AWS_EC2_METADATA_SERVICE_ENDPOINT is '{value}': write a URL, for instance"
                " http://169.254.169.254.",
            )


def named(environ: Mapping[str, str]) -> dict[str, str]:
    """The service endpoint's variables, by the ends of their names."""
    endpoint = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
    return {f"{endpoint}_{end}" if end else endpoint: value for end, value in environ.items()}
