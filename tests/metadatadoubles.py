"""All items of an instance's metadata, and a test case that reads them."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echoserver.ec2.metadata import InstanceMetadata, NoIdentity, NoMetadata
from tests.awsdoubles import INSTANCE_ID, METADATA, MetadataService

T = TypeVar("T")

ALL_ITEMS = {
    "instance-id": INSTANCE_ID,
    "public-hostname": "ec2.example",
    "public-ipv4": "203.0.113.7",
    "local-hostname": "ip-10-0-0-7.internal",
    "local-ipv4": "10.0.0.7",
    "ipv6": "2001:db8::7",
    "placement/region": "eu-west-3",
}


class MetadataTestCase(SynchronousTestCase):
    """A test of coroutines that read a metadata service in memory."""

    def setUp(self) -> None:
        self.clock = Clock()

    def metadata(self, service: MetadataService, url: str = METADATA) -> InstanceMetadata:
        return InstanceMetadata(self.clock, service.http(), lambda: url)

    def result(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine that does not wait, and return its result."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def sentence(self, work: Coroutine[Any, Any, object], kind: type = NoMetadata) -> str:
        """Return the text of the exception of this class: one sentence, without a page's text."""
        failure = self.failureResultOf(Deferred.fromCoroutine(work), NoIdentity)
        self.assertIs(type(failure.value), kind)
        text = str(failure.value)
        self.assertTrue(text.endswith(".") and "\n" not in text and "html" not in text, text)
        return text
