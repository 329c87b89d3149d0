"""Tests of echoserver.ec2.identity: the requests to the metadata service, and ConnectionInfo."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import capturedLogs

from echoserver.ec2.identity import (
    FIELDS,
    MAX_CONNECTION_INFO,
    ConnectionInfoTemplate,
    Instance,
    identifyInstance,
    templateValues,
)
from echoserver.ec2.metadata import InstanceMetadata, NoIdentity, serviceURL
from tests.awsdoubles import INSTANCE_ID, MetadataService, logLines
from tests.metadatadoubles import ALL_ITEMS, MetadataTestCase


class TemplateTests(MetadataTestCase):
    """L{ConnectionInfoTemplate} and L{templateValues}."""

    def fill(self, template: str, items: Mapping[str, str | int | None] = ALL_ITEMS) -> str:
        """Return the ConnectionInfo of game server 1 on port 5001."""
        info = ConnectionInfoTemplate(template)
        info.check()
        metadata = self.metadata(MetadataService(items))
        return info.fill(self.result(templateValues(metadata, INSTANCE_ID, info)), 5001, 1)

    def checkError(self, template: str) -> str:
        return str(self.assertRaises(ValueError, ConnectionInfoTemplate(template).check))

    def test_noPort(self) -> None:
        """If the endpoint has no port, a template with C{port} is an error."""
        values = {"host": "localhost"}
        self.assertRaises(NoIdentity, ConnectionInfoTemplate("{host}:{port}").fill, values, 0, 0)
        self.assertEqual(ConnectionInfoTemplate("{host}").fill(values, 0, 0), "localhost")

    def test_fields(self) -> None:
        """Each field is replaced by its value."""
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
            self.assertEqual(self.fill(template), expected)

    def test_host(self) -> None:
        """The host is the first name or address in the metadata; a private one logs a warning."""
        items = dict(ALL_ITEMS)
        for path, expected, private in [
            ("public-hostname", "ec2.example", False),
            ("public-ipv4", "203.0.113.7", False),
            ("local-hostname", "ip-10-0-0-7.internal", True),
            ("local-ipv4", "10.0.0.7", True),
            ("ipv6", "[2001:db8::7]", False),
        ]:
            with capturedLogs() as events:
                self.assertEqual(self.fill("{host}", items), expected)
            warning = (
                f"ConnectionInfo has the private address {expected} ({path}): this instance has no"
                " public address. Players must be in its network."
            )
            self.assertEqual(logLines(events), [warning] if private else [])
            del items[path]
        metadata = self.metadata(MetadataService(items))
        values = templateValues(metadata, INSTANCE_ID, ConnectionInfoTemplate("{host}"))
        self.assertEqual(
            self.sentence(values, NoIdentity),
            "This instance has no address in its metadata: give --connection-info.",
        )

    def test_absentField(self) -> None:
        """If the instance does not have a field's item, the sentence names it."""
        metadata = self.metadata(MetadataService({}))
        values = templateValues(metadata, INSTANCE_ID, ConnectionInfoTemplate("{ipv6}"))
        self.assertEqual(
            self.sentence(values, NoIdentity),
            "This instance has no ipv6: write --connection-info without {ipv6}.",
        )

    def test_unknownField(self) -> None:
        """Unknown fields, conversions and format specifications are rejected with a list."""
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
                self.checkError(template),
                f"'{template}' has the unknown field {{{field}}}; the fields are {{host}},"
                " {port}, {public_hostname}, {public_ipv4}, {local_ipv4}, {ipv6}, {instance_id},"
                " {index}.",
            )

    def test_invalidTemplate(self) -> None:
        """Braces without a partner are rejected."""
        for template in ("{", "}", "{host", "{host!}", "{host}}"):
            sentence = self.checkError(template)
            self.assertTrue(
                sentence.startswith(f"'{template}' is not a valid template: "), sentence
            )

    def test_blank(self) -> None:
        """A blank template is rejected, because FleetIQ rejects a blank ConnectionInfo."""
        for template in ("", " "):
            self.assertIn(
                "it is blank; write text with any of the fields {host}, ", self.checkError(template)
            )

    def test_long(self) -> None:
        """If the plain text alone is too long for FleetIQ, the check rejects the template."""
        self.assertEqual(self.fill("x" * MAX_CONNECTION_INFO), "x" * MAX_CONNECTION_INFO)
        self.assertEqual(
            self.checkError("x" * 513 + "{port}"),
            "it has 513 characters; FleetIQ allows 1 to 512.",
        )

    def test_longWhenFilled(self) -> None:
        """If the values make the ConnectionInfo too long, C{fill} raises an error."""
        info = ConnectionInfoTemplate("x" * 510 + "{port}")
        info.check()
        error = self.assertRaises(NoIdentity, info.fill, {}, 5000, 0)
        self.assertEqual(
            str(error),
            "--connection-info has 514 characters with its fields filled in; FleetIQ allows 1 to"
            " 512. Shorten it.",
        )

    @settings(deadline=None, max_examples=100)
    @given(st.lists(st.sampled_from(["{", "}", "{{", "}}", "!", ":", "x", "[0]", ".a", *FIELDS])))
    def test_checkedCanBeFilled(self, pieces: list[str]) -> None:
        """A template that passes the check can be filled."""
        info = ConnectionInfoTemplate("".join(pieces))
        try:
            info.check()
        except ValueError:
            return
        info.fill(dict.fromkeys(FIELDS[:1] + FIELDS[2:-1], "value"), 5000, 0)


class IdentifyTests(MetadataTestCase):
    """L{identifyInstance} requests only the items it needs."""

    def identify(
        self, service: MetadataService, instanceId: str | None, template: str
    ) -> Coroutine[Any, Any, Instance]:
        return identifyInstance(
            self.metadata(service), instanceId, ConnectionInfoTemplate(template)
        )

    def test_requests(self) -> None:
        """The template and the instance id decide which items are requested, and in which order."""
        for given_, template, got in [
            (None, "{host}:{port}", ["instance-id", "public-hostname"]),
            (None, "here:{port}", ["instance-id"]),
            (None, "{ipv6} {public_ipv4}", ["instance-id", "public-ipv4", "ipv6"]),
            (INSTANCE_ID, "{local_ipv4}", ["local-ipv4"]),
            (INSTANCE_ID, "{instance_id}-{index}:{port}", []),
        ]:
            service = MetadataService(ALL_ITEMS)
            instance = self.result(self.identify(service, given_, template))
            self.assertEqual(instance.instanceId, INSTANCE_ID)
            self.assertEqual(service.got, got)
            self.assertEqual(bool(service.asked), bool(got))

    def test_disabled(self) -> None:
        """A disabled metadata service is an error only if an item is needed."""
        off = {"AWS_EC2_METADATA_DISABLED": "true"}
        http = MetadataService({}).http()
        metadata = InstanceMetadata(self.clock, http, partial(serviceURL, off))
        self.result(identifyInstance(metadata, INSTANCE_ID, ConnectionInfoTemplate("here:{port}")))
        self.assertEqual(
            self.sentence(identifyInstance(metadata, None, ConnectionInfoTemplate("here:{port}"))),
            "AWS_EC2_METADATA_DISABLED is true: the instance metadata service is not used.",
        )

    def test_source(self) -> None:
        """The result has the source of the instance id."""
        service = MetadataService(ALL_ITEMS)
        for given_, source in [(None, "the instance metadata"), (INSTANCE_ID, "--instance-id")]:
            instance = self.result(self.identify(service, given_, "h"))
            self.assertEqual(instance.source, source)

    def test_noInstanceId(self) -> None:
        """A metadata service without an instance id is an error."""
        self.assertEqual(
            self.sentence(self.identify(MetadataService({}), None, "h")),
            "The instance metadata has no instance-id.",
        )
