"""An instance with all the metadata there is, and tests that ask for it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echoserver.ec2.metadata import InstanceMetadata, NoIdentity, NoMetadata
from tests.awsdoubles import INSTANCE_ID, METADATA, MetadataService

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
