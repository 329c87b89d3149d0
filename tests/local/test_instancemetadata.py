"""The metadata of one instance is complete and consistent."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.model.instancemetadata import treeOf
from echoserver.local.model.interruptions import KINDS
from echoserver.local.model.metadatatree import pathsOf, valueAt
from echoserver.local.model.metadatavalues import MetadataValues, readAssignment
from echoserver.local.model.values import Instance, Interruption, instanceIdOf

NOW = 1_700_000_000.0
INSTANCES = [Instance(instanceIdOf("local", index), "local", NOW) for index in range(5)]
MACS = "meta-data/network/interfaces/macs"


def text(tree: Any, path: str) -> str:
    value = valueAt(tree, path.split("/"))
    assert isinstance(value, str), path
    return value


class TreeTests(SynchronousTestCase):
    """Values that must agree with each other."""

    def test_differs(self) -> None:
        """Instances differ in what names them, and agree in what their group has."""
        trees = [treeOf(each, NOW) for each in INSTANCES]
        for path in ("instance-id", "reservation-id", "mac"):
            self.assertEqual(5, len({text(tree, f"meta-data/{path}") for tree in trees}), path)
        for path in ("ami-id", "placement/region", "tags/instance/aws:autoscaling:groupName"):
            self.assertEqual(1, len({text(tree, f"meta-data/{path}") for tree in trees}), path)

    def test_interface(self) -> None:
        """The one network interface has the address and the names of the instance."""
        tree = treeOf(INSTANCES[0], NOW)
        mac = text(tree, "meta-data/mac")
        self.assertRegex(mac, r"^02(:[0-9a-f]{2}){5}$")
        self.assertEqual(f"{mac}/", text(tree, f"{MACS}/"))
        for member, path in (
            ("mac", "mac"),
            ("local-ipv4s", "local-ipv4"),
            ("local-hostname", "local-hostname"),
            ("public-ipv4s", "public-ipv4"),
            ("public-hostname", "public-hostname"),
            ("security-groups", "security-groups"),
        ):
            self.assertEqual(text(tree, f"meta-data/{path}"), text(tree, f"{MACS}/{mac}/{member}"))

    def test_document(self) -> None:
        """The identity document has the values of the metadata, also those that were set."""
        values = {"placement/region": "eu-west-1", "local-ipv4": "10.0.0.1", "ami-id": None}
        tree = treeOf(INSTANCES[0], NOW, values)
        document = json.loads(text(tree, "dynamic/instance-identity/document"))
        self.assertEqual(
            ("eu-west-1", "10.0.0.1", None, INSTANCES[0].instanceId, "2023-11-14T22:13:20Z"),
            tuple(
                document[name]
                for name in ("region", "privateIp", "imageId", "instanceId", "pendingTime")
            ),
        )
        other = treeOf(INSTANCES[0], NOW)
        for name in ("pkcs7", "rsa2048", "signature"):
            path = f"dynamic/instance-identity/{name}"
            self.assertNotEqual(text(tree, path), text(other, path))
            self.assertTrue(all(len(line) <= 76 for line in text(tree, path).split("\n")))

    def test_json(self) -> None:
        """What EC2 has in JSON is JSON."""
        tree = treeOf(INSTANCES[0], NOW)
        info = json.loads(text(tree, "meta-data/iam/info"))
        self.assertEqual("Success", info["Code"])
        self.assertTrue(info["InstanceProfileArn"].endswith("instance-profile/fleetiq-local"))
        own = "meta-data/identity-credentials/ec2"
        self.assertEqual(info["Code"], json.loads(text(tree, f"{own}/info"))["Code"])
        credentials = json.loads(text(tree, f"{own}/security-credentials/ec2-instance"))
        self.assertEqual("AWS-HMAC", credentials["Type"])

    def test_everyKind(self) -> None:
        """Each kind of interruption has its own paths, and all others stay."""
        plain = set(pathsOf(treeOf(INSTANCES[0], NOW)))
        spot = {"meta-data/spot/instance-action", "meta-data/spot/termination-time"}
        rebalance = {"meta-data/events/recommendations/rebalance"}
        for kind in KINDS:
            ends = KINDS[kind].endReason is not None
            interruption = Interruption(kind, NOW, NOW + 60 if ends else None, NOW + 60)
            instance = Instance(
                INSTANCES[0].instanceId, "local", NOW, interruptions=(interruption,)
            )
            paths = set(pathsOf(treeOf(instance, NOW)))
            new = {"spot": spot, "rebalance": rebalance}.get(kind, set())
            self.assertEqual(new, paths - plain, kind)
            self.assertEqual(set(), plain - paths, kind)


class MetadataValuesTests(SynchronousTestCase):
    """Values that were set."""

    def setUp(self) -> None:
        self.values = MetadataValues({"a": "start"}, b"start")

    def at(self, path: str, index: int = 0) -> object:
        return valueAt(self.values.treeOf(INSTANCES[index], NOW), path.split("/"))

    def test_ofOneInstance(self) -> None:
        """A value of one instance is before that of all, whichever was set first."""
        own = INSTANCES[1].instanceId
        self.assertEqual(own, self.values.set({"InstanceId": own, "values": {"a": "own"}}))
        self.assertIsNone(self.values.set({"values": {"a": "all"}}))
        self.assertEqual(("all", "own"), (self.at("meta-data/a"), self.at("meta-data/a", 1)))
        self.values.set({"InstanceId": own, "userData": None})
        self.assertEqual((b"start", None), (self.at("user-data"), self.at("user-data", 1)))

    def test_removed(self) -> None:
        """A value that is null is no longer there, nor what is below it."""
        self.values.set({"values": {"public-ipv4": None, "placement": None}})
        self.assertIsNone(self.at("meta-data/public-ipv4"))
        self.assertIsNone(self.at("meta-data/placement/region"))

    def test_reset(self) -> None:
        """A reset restores the values at the start."""
        self.values.set({"values": {"a": "b", "c": "d"}, "userData": "new"})
        self.assertEqual((b"new", "b"), (self.at("user-data"), self.at("meta-data/a")))
        self.values.reset()
        self.assertEqual((b"start", "start"), (self.at("user-data"), self.at("meta-data/a")))
        self.assertIsNone(self.at("meta-data/c"))

    def test_wrong(self) -> None:
        """A wrong order has a sentence, and changes nothing."""
        for body, sentence in (
            ({}, "values is an object: it must be an object of paths"),
            ({"values": []}, "values is a list"),
            ({"values": {"a": 1}}, "a is 1: it must be a string, or null for none."),
            ({"values": {"b": "1", "/a": "1"}}, "'/a' is not a path of metadata"),
            ({"values": {"a": "\ud800"}}, "a has half of a surrogate pair"),
            ({"values": {"a": "é" * 9000}}, "a has 18000 bytes: at most 16384 are allowed."),
            ({"userData": "x" * 16385}, "userData has 16385 bytes"),
            ({"userData": 1}, "userData is 1: it must be a string."),
            ({"InstanceId": 1, "values": {"a": "1"}}, "InstanceId is 1: it must be a string."),
            ({"value": {}}, "'value' is not a field of values of metadata"),
        ):
            error = self.assertRaises(ValueError, self.values.set, body)
            self.assertIn(sentence, str(error))
        self.assertEqual(("start", None), (self.at("meta-data/a"), self.at("meta-data/b")))

    def test_assignments(self) -> None:
        """An assignment has a path and a value, which may be empty or have equals signs."""
        self.assertEqual(("a/b", "c=d"), readAssignment("a/b=c=d"))
        self.assertEqual(("a", ""), readAssignment("a="))
        for assignment in ("a", "", "=b", "/a=b"):
            self.assertRaises(ValueError, readAssignment, assignment)
