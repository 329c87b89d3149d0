"""Who this instance is: tokens, what is asked and in which order, and what players are told."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionRefusedError, TimeoutError
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived

from echoserver.metadata import (
    ANSWER_TIMEOUT,
    FIELDS,
    LONGEST,
    ConnectionInfo,
    Instance,
    InstanceMetadata,
    Item,
    NoIdentity,
    NoMetadata,
    identify,
    newClient,
    serviceURL,
)
from tests.awsdoubles import INSTANCE_ID, METADATA, MetadataService, told

T = TypeVar("T")

EVERYTHING = {
    "instance-id": INSTANCE_ID,
    "public-hostname": "ec2.example",
    "public-ipv4": "203.0.113.7",
    "local-hostname": "ip-10-0-0-7.internal",
    "local-ipv4": "10.0.0.7",
    "ipv6": "2001:db8::7",
    "placement/region": "eu-west-3",
}


class MetadataTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def metadata(self, service: MetadataService, url: str = METADATA) -> InstanceMetadata:
        return InstanceMetadata(self.clock, service.http(), lambda: url)

    def result(self, work: Coroutine[Any, Any, T]) -> T:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def sentence(self, work: Coroutine[Any, Any, object], kind: type = NoMetadata) -> str:
        """What the failure says: nothing of a page, and one sentence."""
        failure = self.failureResultOf(Deferred.fromCoroutine(work), NoIdentity)
        self.assertIs(type(failure.value), kind)
        said = str(failure.value)
        self.assertTrue(said.endswith(".") and "\n" not in said and "html" not in said, said)
        return said


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

    def test_newClient(self) -> None:
        """The client of a process gives up connecting after a second."""
        reactor = MemoryReactorClock()
        newClient(reactor).get(METADATA).addErrback(lambda _: None)
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


class TemplateTests(MetadataTestCase):
    """What players are told."""

    def told(self, template: str, items: Mapping[str, str | int | None] = EVERYTHING) -> str:
        info = ConnectionInfo(template)
        info.check()
        metadata = self.metadata(MetadataService(items))
        return info.fill(self.result(info.known(metadata, INSTANCE_ID)), 5001, 1)

    def refusal(self, template: str) -> str:
        return str(self.assertRaises(ValueError, ConnectionInfo(template).check))

    def test_noPort(self) -> None:
        """An endpoint without a port cannot fill one in."""
        values = {"host": "localhost"}
        self.assertRaises(NoIdentity, ConnectionInfo("{host}:{port}").fill, values, 0, 0)
        self.assertEqual(ConnectionInfo("{host}").fill(values, 0, 0), "localhost")

    def test_fields(self) -> None:
        """Each field has its value."""
        for template, expected in [
            ("{host}", "ec2.example"),
            ("{port}", "5001"),
            ("{public_hostname}", "ec2.example"),
            ("{public_ipv4}", "203.0.113.7"),
            ("{local_ipv4}", "10.0.0.7"),
            ("{ipv6}:{port}", "[2001:db8::7]:5001"),
            ("{instance_id}", INSTANCE_ID),
            ("{index}", "1"),
            ("play.example:{port}", "play.example:5001"),
            ('{{"h":"{host}"}}', '{"h":"ec2.example"}'),
        ]:
            self.assertEqual(self.told(template), expected)

    def test_host(self) -> None:
        """The host is the first name or address there is; a private one is warned of."""
        items = dict(EVERYTHING)
        for path, expected, private in [
            ("public-hostname", "ec2.example", False),
            ("public-ipv4", "203.0.113.7", False),
            ("local-hostname", "ip-10-0-0-7.internal", True),
            ("local-ipv4", "10.0.0.7", True),
            ("ipv6", "[2001:db8::7]", False),
        ]:
            with capturedLogs() as events:
                self.assertEqual(self.told("{host}", items), expected)
            warning = (
                f"Players are told {expected}, a private address ({path}): this instance has no"
                " public one. They must be in its network."
            )
            self.assertEqual(told(events), [warning] if private else [])
            del items[path]
        info = ConnectionInfo("{host}")
        asked = info.known(self.metadata(MetadataService(items)), INSTANCE_ID)
        self.assertEqual(
            self.sentence(asked, NoIdentity),
            "This instance has no address in its metadata: give --connection-info.",
        )

    def test_absentField(self) -> None:
        """A field whose item the instance does not have is a sentence that names it."""
        info = ConnectionInfo("{ipv6}")
        asked = info.known(self.metadata(MetadataService({})), INSTANCE_ID)
        self.assertEqual(
            self.sentence(asked, NoIdentity),
            "This instance has no ipv6: give another --connection-info.",
        )

    def test_unknownField(self) -> None:
        """Other fields, and what Python's formatting knows, are refused with the list of ours."""
        for template, field in [
            ("{hots}", "hots"),
            ("{}", ""),
            ("{0}", "0"),
            ("{host!r}", "host!r"),
            ("{port:x}", "port:x"),
            ("{port:{index}}", "port:{index}"),
            ("{host.__class__}", "host.__class__"),
            ("{host[0]}", "host[0]"),
        ]:
            self.assertEqual(
                self.refusal(template),
                f"'{template}' has the field {{{field}}}; there are {{host}}, {{port}},"
                " {public_hostname}, {public_ipv4}, {local_ipv4}, {ipv6}, {instance_id}, {index}.",
            )

    def test_noTemplate(self) -> None:
        """Lonely braces are refused."""
        for template in ("{", "}", "{host", "{host!}", "{host}}"):
            said = self.refusal(template)
            self.assertTrue(said.startswith(f"'{template}' is no template: "), said)

    def test_blank(self) -> None:
        """FleetIQ takes nothing blank."""
        for template in ("", " "):
            self.assertIn("it is blank; write an address, of {host}, ", self.refusal(template))

    def test_long(self) -> None:
        """FleetIQ's longest is told of before the start, if the template alone is longer."""
        self.assertEqual(self.told("x" * LONGEST), "x" * LONGEST)
        self.assertEqual(
            self.refusal("x" * 513 + "{port}"), "it has 513 characters; FleetIQ takes 1 to 512."
        )

    def test_longWhenFilled(self) -> None:
        """What becomes too long by its values is told of then."""
        info = ConnectionInfo("x" * 510 + "{port}")
        info.check()
        error = self.assertRaises(NoIdentity, info.fill, {}, 5000, 0)
        self.assertEqual(
            str(error),
            "--connection-info comes out with 514 characters; FleetIQ takes 1 to 512.",
        )

    @settings(deadline=None, max_examples=100)
    @given(st.lists(st.sampled_from(["{", "}", "{{", "}}", "!", ":", "x", "[0]", ".a", *FIELDS])))
    def test_checkedIsFilled(self, pieces: list[str]) -> None:
        """Whatever passes the check can be filled in."""
        info = ConnectionInfo("".join(pieces))
        try:
            info.check()
        except ValueError:
            return
        info.fill(dict.fromkeys(FIELDS[:1] + FIELDS[2:-1], "value"), 5000, 0)


class IdentifyTests(MetadataTestCase):
    """Nothing is asked that is not needed."""

    def identified(
        self, service: MetadataService, instanceId: str | None, template: str
    ) -> Coroutine[Any, Any, Instance]:
        return identify(self.metadata(service), instanceId, ConnectionInfo(template))

    def test_asked(self) -> None:
        """What is asked, and in which order."""
        for given_, template, got in [
            (None, "{host}:{port}", ["instance-id", "public-hostname"]),
            (None, "here:{port}", ["instance-id"]),
            (None, "{ipv6} {public_ipv4}", ["instance-id", "public-ipv4", "ipv6"]),
            (INSTANCE_ID, "{local_ipv4}", ["local-ipv4"]),
            (INSTANCE_ID, "{instance_id}-{index}:{port}", []),
        ]:
            service = MetadataService(EVERYTHING)
            instance = self.result(self.identified(service, given_, template))
            self.assertEqual(instance.instanceId, INSTANCE_ID)
            self.assertEqual(service.got, got)
            self.assertEqual(bool(service.asked), bool(got))

    def test_notAskedThoughSwitchedOff(self) -> None:
        """A service that is switched off does not matter to who needs nothing of it."""
        off = {"AWS_EC2_METADATA_DISABLED": "true"}
        http = MetadataService({}).http()
        metadata = InstanceMetadata(self.clock, http, partial(serviceURL, off))
        self.result(identify(metadata, INSTANCE_ID, ConnectionInfo("here:{port}")))
        self.assertEqual(
            self.sentence(identify(metadata, None, ConnectionInfo("here:{port}"))),
            "AWS_EC2_METADATA_DISABLED is true: the instance metadata is not asked.",
        )

    def test_source(self) -> None:
        """It is known where the instance id comes from."""
        service = MetadataService(EVERYTHING)
        for given_, source in [(None, "the instance metadata"), (INSTANCE_ID, "--instance-id")]:
            instance = self.result(self.identified(service, given_, "h"))
            self.assertEqual(instance.source, source)

    def test_noInstanceId(self) -> None:
        """A service without an instance id is none."""
        self.assertEqual(
            self.sentence(self.identified(MetadataService({}), None, "h")),
            "The instance metadata has no instance-id.",
        )
