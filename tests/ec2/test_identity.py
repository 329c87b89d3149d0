"""Who this instance is: what is asked and in which order, and what players are told."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import capturedLogs

from echoserver.ec2.identity import (
    FIELDS,
    LONGEST,
    ConnectionInfoTemplate,
    Instance,
    identifyInstance,
)
from echoserver.ec2.metadata import InstanceMetadata, NoIdentity, serviceURL
from tests.awsdoubles import INSTANCE_ID, MetadataService, told
from tests.metadatadoubles import EVERYTHING, MetadataTestCase


class TemplateTests(MetadataTestCase):
    """What players are told."""

    def told(self, template: str, items: Mapping[str, str | int | None] = EVERYTHING) -> str:
        info = ConnectionInfoTemplate(template)
        info.check()
        metadata = self.metadata(MetadataService(items))
        return info.fill(self.result(info.known(metadata, INSTANCE_ID)), 5001, 1)

    def refusal(self, template: str) -> str:
        return str(self.assertRaises(ValueError, ConnectionInfoTemplate(template).check))

    def test_noPort(self) -> None:
        """An endpoint without a port cannot fill one in."""
        values = {"host": "localhost"}
        self.assertRaises(NoIdentity, ConnectionInfoTemplate("{host}:{port}").fill, values, 0, 0)
        self.assertEqual(ConnectionInfoTemplate("{host}").fill(values, 0, 0), "localhost")

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
        info = ConnectionInfoTemplate("{host}")
        asked = info.known(self.metadata(MetadataService(items)), INSTANCE_ID)
        self.assertEqual(
            self.sentence(asked, NoIdentity),
            "This instance has no address in its metadata: give --connection-info.",
        )

    def test_absentField(self) -> None:
        """A field whose item the instance does not have is a sentence that names it."""
        info = ConnectionInfoTemplate("{ipv6}")
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
        info = ConnectionInfoTemplate("x" * 510 + "{port}")
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
        info = ConnectionInfoTemplate("".join(pieces))
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
        return identifyInstance(
            self.metadata(service), instanceId, ConnectionInfoTemplate(template)
        )

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
        self.result(identifyInstance(metadata, INSTANCE_ID, ConnectionInfoTemplate("here:{port}")))
        self.assertEqual(
            self.sentence(identifyInstance(metadata, None, ConnectionInfoTemplate("here:{port}"))),
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
