"""Tests of echoserver.ec2.metadata: tokens, items, invalid responses, and the variables."""

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
    MAX_RESPONSE,
    RESPONSE_TIMEOUT,
    InstanceMetadata,
    Item,
    NoMetadata,
    makeHTTPClient,
    serviceURL,
)
from tests.awsdoubles import INSTANCE_ID, METADATA, MetadataService
from tests.metadatadoubles import ALL_ITEMS, MetadataTestCase


class StuckResponse:
    """An HTTP client that is its own response. The body never ends."""

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
    """A token is reused until the service rejects it."""

    def test_reused(self) -> None:
        """Two items need one token."""
        service = MetadataService(ALL_ITEMS)
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
        """After a 401, one new token is requested, and the item is requested again."""
        service = MetadataService(ALL_ITEMS)
        metadata = self.metadata(service)
        self.result(metadata.get("instance-id"))
        service.refusing = 1
        self.assertEqual(self.result(metadata.get("instance-id")), INSTANCE_ID)
        self.assertEqual(service.tokens, 2)
        self.assertEqual(self.result(metadata.get("ipv6")), "2001:db8::7")
        self.assertEqual(service.tokens, 2)

    def test_renewedOnce(self) -> None:
        """If a new token is rejected too, no third one is requested."""
        service = MetadataService(ALL_ITEMS)
        service.refusing = 99
        self.assertEqual(
            self.sentence(self.metadata(service).get("instance-id")),
            f"The instance metadata service at {METADATA} returned status 401 for instance-id.",
        )
        self.assertEqual(service.tokens, 2)

    def test_noToken(self) -> None:
        """Without a token no item is requested. The page of a proxy is not a token."""
        for status in (403, 404, 500):
            service = MetadataService(ALL_ITEMS)
            service.tokenStatus = status
            self.assertEqual(
                self.sentence(self.metadata(service).get("instance-id")),
                f"The instance metadata service at {METADATA} returned no token, but status"
                f" {status}.",
            )
            self.assertEqual(len(service.asked), 1)

    def test_invalidToken(self) -> None:
        """A page, or text with control characters, is not a token. It is not sent back."""
        for token in ("<html> <p>", "a\r\nHost: evil ", "\x1b[2J", "x" * 1024):
            service = MetadataService(ALL_ITEMS)
            service.token = token
            self.assertEqual(
                self.sentence(self.metadata(service).get("instance-id")),
                f"The instance metadata service at {METADATA} returned an invalid token.",
            )
            self.assertEqual(len(service.asked), 1)


class ItemTests(MetadataTestCase):
    """Items that exist, items that do not, and responses that are not valid."""

    def test_date(self) -> None:
        """An item has the date of the response; without a valid date it is None."""
        service = MetadataService(ALL_ITEMS)
        metadata = self.metadata(service)
        for date, seconds in (
            ("Mon, 18 Sep 2017 08:20:00 GMT", 1505722800.0),
            ("yesterday", None),
            ("Mon, 18 Sep 0000 08:20:00 +9999999999999999999", None),
            ("", None),
        ):
            service.date = date
            item = self.result(metadata.item("instance-id"))
            self.assertEqual(item, Item(INSTANCE_ID, seconds))

    def test_cancelled(self) -> None:
        """A cancelled request fails with CancelledError, not with NoMetadata."""
        metadata = self.metadata(MetadataService({"instance-id": None}))
        request = Deferred.fromCoroutine(metadata.item("instance-id"))
        request.cancel()
        self.failureResultOf(request, CancelledError)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_absent(self) -> None:
        """A 404 or a blank value means that the instance does not have the item."""
        metadata = self.metadata(MetadataService({"public-ipv4": "", "ipv6": " \n"}))
        for path in ("public-hostname", "public-ipv4", "ipv6"):
            self.assertIsNone(self.result(metadata.get(path)))

    def test_page(self) -> None:
        """A page instead of a value is an error."""
        for page in ("<html>Welcome</html>", "two words", "two\nlines", "\x1b[2J", "x" * 256):
            self.assertEqual(
                self.sentence(self.metadata(MetadataService({"ipv6": page})).get("ipv6")),
                f"The instance metadata service at {METADATA} returned an invalid value for ipv6.",
            )

    def test_stripped(self) -> None:
        """A line end, which some emulators add, is not part of the value."""
        metadata = self.metadata(MetadataService({"instance-id": f"{INSTANCE_ID}\n"}))
        self.assertEqual(self.result(metadata.get("instance-id")), INSTANCE_ID)

    def test_otherStatus(self) -> None:
        """Any other status is an error that names it."""
        self.assertEqual(
            self.sentence(self.metadata(MetadataService({"ipv6": 500})).get("ipv6")),
            f"The instance metadata service at {METADATA} returned status 500 for ipv6.",
        )

    def test_timeout(self) -> None:
        """A request without a response fails after two seconds."""
        metadata = self.metadata(MetadataService({"instance-id": None}))
        request = Deferred.fromCoroutine(metadata.get("instance-id"))
        self.clock.advance(RESPONSE_TIMEOUT - 0.1)
        self.assertNoResult(request)
        self.clock.advance(0.1)
        self.assertEqual(
            str(self.failureResultOf(request, NoMetadata).value),
            f"The instance metadata service at {METADATA} does not respond: no complete response"
            " within 2 s.",
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stuck(self) -> None:
        """If the body does not end in time, the request fails and its connection is closed."""
        response = StuckResponse()
        metadata = InstanceMetadata(self.clock, cast(Any, response), lambda: METADATA)
        request = Deferred.fromCoroutine(metadata.get("instance-id"))
        self.clock.advance(RESPONSE_TIMEOUT)
        self.failureResultOf(request, NoMetadata)
        self.assertTrue(response.transport.disconnecting)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_tooLong(self) -> None:
        """A body over the limit closes the connection, and the request fails."""
        response = StuckResponse()
        metadata = InstanceMetadata(self.clock, cast(Any, response), lambda: METADATA)
        request = Deferred.fromCoroutine(metadata.get("instance-id"))
        response.protocol.dataReceived(b"x" * MAX_RESPONSE)
        self.assertTrue(response.transport.disconnecting)
        response.protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(
            str(self.failureResultOf(request, NoMetadata).value),
            f"The instance metadata service at {METADATA} does not respond: its response has more"
            f" than {MAX_RESPONSE} bytes.",
        )

    def test_tooLongInMemory(self) -> None:
        """Data that arrives after the limit is dropped, also while the connection stays open."""
        response = StuckResponse()
        metadata = InstanceMetadata(self.clock, cast(Any, response), lambda: METADATA)
        request = Deferred.fromCoroutine(metadata.get("instance-id"))
        for _ in range(100):
            response.protocol.dataReceived(b"x" * MAX_RESPONSE)
        self.failureResultOf(request, NoMetadata)
        self.assertEqual(cast(Any, response.protocol)._data, b"")

    def test_notReached(self) -> None:
        """The sentence has the cause of a connection error, without Twisted's wrapper."""

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
            (ValueError("bad line \x1b[2J\n" + "x" * 9999), f"bad line \\x1b[2J {'x' * 283}"),
        ]:
            http: Any = Broken(error)
            metadata = InstanceMetadata(self.clock, http, lambda: METADATA)
            self.assertEqual(
                self.sentence(metadata.get("instance-id")),
                f"The instance metadata service at {METADATA} does not respond: {why}.",
            )

    def test_path(self) -> None:
        """The URL can have a path, as in the local FleetIQ, which has one for each instance."""
        below = f"/instances/{INSTANCE_ID}"
        service = MetadataService(ALL_ITEMS, below=below)
        metadata = self.metadata(service, METADATA + below)
        self.assertEqual(self.result(metadata.get("instance-id")), INSTANCE_ID)

    def test_makeHTTPClient(self) -> None:
        """A connection attempt of the client times out after one second."""
        reactor = MemoryReactorClock()
        makeHTTPClient(reactor).get(METADATA).addErrback(lambda _: None)
        ((_, port, _, timeout, _),) = reactor.tcpClients
        self.assertEqual((port, timeout), (80, 1.0))


class ServiceURLTests(SynchronousTestCase):
    """The variables of AWS's SDKs."""

    def test_table(self) -> None:
        """The variables give the URL."""
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
        """Only "true", in any case, disables the service."""
        for value in ("true", "True", "TRUE"):
            error = self.assertRaises(NoMetadata, serviceURL, {"AWS_EC2_METADATA_DISABLED": value})
            self.assertEqual(
                str(error),
                "AWS_EC2_METADATA_DISABLED is true: the instance metadata service is not used.",
            )
        for value in ("", "1", "yes", "false"):
            self.assertEqual(serviceURL({"AWS_EC2_METADATA_DISABLED": value}), METADATA)

    def test_invalidURL(self) -> None:
        """If the variable is not a URL, the error shows its value."""
        for value in ("nonsense", "h:1338", "ftp://h", "http://", "http://[", "http://h:99999"):
            error = self.assertRaises(NoMetadata, serviceURL, named({"": value}))
            self.assertEqual(
                str(error),
                f"AWS_EC2_METADATA_SERVICE_ENDPOINT is '{value}': write a URL, for example"
                " http://169.254.169.254.",
            )


def named(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the service endpoint, from the ends of their names."""
    endpoint = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
    return {f"{endpoint}_{end}" if end else endpoint: value for end, value in environ.items()}
