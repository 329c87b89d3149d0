"""Validation of inputs against the service model."""

import re
from math import inf
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.http.operations import Operations
from echoserver.local.http.validation import ServiceModel, compilePattern, gameLift
from echoserver.local.model.fleet import Fleet
from tests.groupcontract import NEW_GROUP

VALID: dict[str, dict[str, Any]] = {
    "RegisterGameServer": {
        "GameServerGroupName": "local",
        "GameServerId": "srv-1",
        "InstanceId": "i-0123456789abcdef0",
        "ConnectionInfo": "localhost:5000",
        "GameServerData": None,
    },
    "ClaimGameServer": {
        "GameServerGroupName": "arn:aws:gamelift:us-east-1:1:gameservergroup/local",
        "FilterOption": {"InstanceStatuses": ["ACTIVE", "DRAINING"]},
    },
    "ListGameServers": {"GameServerGroupName": "local", "Limit": 1, "SortOrder": "ASCENDING"},
    "ListGameServerGroups": {},
    "CreateGameServerGroup": {
        **NEW_GROUP,
        "AutoScalingPolicy": {"TargetTrackingConfiguration": {"TargetValue": 75}},
    },
    "DescribeGameServerInstances": {
        "GameServerGroupName": "local",
        "InstanceIds": ["i-0123456789abcdef0"] * 20,
    },
}

# For each pattern, texts that match and texts that do not.
_GROUP_ARN = "arn:aws:gamelift:us-east-1:000000000000:gameservergroup/my-Group.1"
EXAMPLES: dict[str, tuple[list[str], list[str]]] = {
    "GameServerConnectionInfo": (["localhost:5000", " x "], [" ", "x\n"]),
    "GameServerData": (['{"map": 1}'], ["\t ", "x\n"]),
    "GameServerGroupName": (["my-Group.1"], ["my_group", "my group", "name\n", _GROUP_ARN]),
    "GameServerGroupNameOrArn": (["my-Group.1", _GROUP_ARN], ["my_group", _GROUP_ARN + "\n"]),
    "GameServerId": (["srv-1.A"], ["srv_1", "srv-1\n"]),
    "GameServerInstanceId": (
        ["i-0123456789abcdefZ"],
        ["i-0123456789abcdef", "0123456789abcdefZi-"],
    ),
    "IamRoleArn": (
        ["arn:aws:iam::000000000000:role/Fleet_IQ+=,.@-"],
        ["arn:aws:iam::000000000000:user/a", "arn:aws:iam::0:role/a b", "arn:aws:iam::0:role/역할"],
    ),
    "LaunchTemplateId": (["lt-0123", "\U0001f600\t"], ["\x1f", "\ufffe", "\ud800"]),
    "LaunchTemplateName": (["game(1).-/_"], ["game 1", "게임"]),
    "LaunchTemplateVersion": (["$Default", "1 \U0010ffff\n"], ["\x01", "\uffff"]),
    "VpcSubnet": (["subnet-0123abcd"], ["subnet-0123ABCD", "subnet-"]),
    "WeightedCapacity": (["1", "999"], ["0", "01", "1000", "1.5"]),
}


def shapesOf(name: str) -> set[str]:
    """Return the names of a shape and of all shapes in it."""
    shape = gameLift().shapes[name]
    parts = [*shape.get("members", {}).values(), *filter(None, [shape.get("member")])]
    return {name}.union(*(shapesOf(part["shape"]) for part in parts))


class GameLiftTests(SynchronousTestCase):
    """botocore's own model of GameLift."""

    def problem(self, operation: str, **changes: Any) -> str | None:
        return gameLift().problem(operation, {**VALID[operation], **changes})

    def test_validInputs(self) -> None:
        """A valid input has no problem. Null is the same as absent."""
        for operation in VALID:
            self.assertIsNone(self.problem(operation), operation)

    def test_readOnce(self) -> None:
        """The model's file is read once per process."""
        self.assertIs(gameLift(), gameLift())

    def test_unknownMembers(self) -> None:
        """Members that an operation does not have are ignored, null or not, and can be named."""
        for operation, changes, paths in (
            ("RegisterGameServer", {}, []),
            ("RegisterGameServer", {"Color": 1, "Map": None}, ["Color", "Map"]),
            ("ClaimGameServer", {"FilterOption": {"A": 1}}, ["FilterOption.A"]),
            (
                "CreateGameServerGroup",
                {"InstanceDefinitions": [{"InstanceType": "c5.large", "C": 1}] * 2},
                ["InstanceDefinitions[0].C", "InstanceDefinitions[1].C"],
            ),
        ):
            self.assertIsNone(self.problem(operation, **changes))
            request = VALID[operation] | changes
            self.assertEqual(paths, gameLift().unknownMembers(operation, request))

    def test_wrongInputs(self) -> None:
        """Each violation is a sentence with the member, its value and what is allowed."""
        for operation, changes, sentence in (
            ("RegisterGameServer", {"InstanceId": None}, "InstanceId is missing."),
            ("RegisterGameServer", {"GameServerId": 5}, "GameServerId is 5: it must be a string."),
            ("RegisterGameServer", {"GameServerId": {}}, "GameServerId is an object: it must be"),
            ("RegisterGameServer", {"GameServerId": "ab"}, "has 2 characters: it must have at l"),
            ("RegisterGameServer", {"GameServerId": "a" * 129}, "has 129 characters: it must "),
            ("RegisterGameServer", {"GameServerId": "a b"}, "'a b': it must match "),
            ("RegisterGameServer", {"GameServerId": "abc\n"}, "'abc\\n': it must match"),
            (
                "RegisterGameServer",
                {"ConnectionInfo": " " * 512},
                "...: it must match ",
            ),
            ("ListGameServers", {"Limit": 0}, "Limit is 0: it must be from 1 to 2147483647."),
            ("ListGameServers", {"Limit": 2**31}, "Limit is 2147483648: it must be from 1 to"),
            ("ListGameServers", {"Limit": True}, "Limit is true: it must be a whole number."),
            ("ListGameServers", {"Limit": 1.0}, "Limit is 1.0: it must be a whole number."),
            ("ListGameServers", {"SortOrder": "UP"}, "must be one of ASCENDING, DESCENDING."),
            ("ListGameServers", {"SortOrder": []}, "SortOrder is a list: it must be a string."),
            (
                "CreateGameServerGroup",
                {"AutoScalingPolicy": {"TargetTrackingConfiguration": {"TargetValue": True}}},
                "AutoScalingPolicy.TargetTrackingConfiguration.TargetValue is true: it must be a n",
            ),
            (
                "CreateGameServerGroup",
                {"AutoScalingPolicy": {"TargetTrackingConfiguration": {"TargetValue": -0.5}}},
                "TargetValue is -0.5: it must be from 0 to 1.79769e+308.",
            ),
            (
                "CreateGameServerGroup",
                {"AutoScalingPolicy": {"TargetTrackingConfiguration": {"TargetValue": inf}}},
                "TargetValue is Infinity: it must be from 0 to 1.79769e+308.",
            ),
            (
                "CreateGameServerGroup",
                {"LaunchTemplate": {"LaunchTemplateName": "game", "Version": "1\x00"}},
                "LaunchTemplate.Version is '1\\x00': it must match ",
            ),
            ("ClaimGameServer", {"FilterOption": []}, "FilterOption is a list: it must be an ob"),
            (
                "ClaimGameServer",
                {"FilterOption": {"InstanceStatuses": ["ACTIVE", None]}},
                "FilterOption.InstanceStatuses[1] is null: it must be a string.",
            ),
            (
                "DescribeGameServerInstances",
                {"InstanceIds": []},
                "InstanceIds has 0 items: it must have at least 1.",
            ),
            (
                "DescribeGameServerInstances",
                {"InstanceIds": ["i-0123456789abcdef0"] * 21},
                "InstanceIds has 21 items: it must have at most 20.",
            ),
            ("DescribeGameServerInstances", {"InstanceIds": "i"}, "'i': it must be a list."),
        ):
            self.assertIn(sentence, self.problem(operation, **changes) or "no problem")

    def test_gameServerDataIsNotShown(self) -> None:
        """A value that the model marks as sensitive is not in the sentence."""
        for value in ("   ", {"secret": 1}, 12345):
            problem = self.problem("RegisterGameServer", GameServerData=value) or ""
            self.assertIn("GameServerData is a value that is not shown", problem)

    def test_longValuesAreCut(self) -> None:
        """A long value is cut in the sentence."""
        problem = self.problem("RegisterGameServer", **{"x" * 100_000: 1})
        self.assertLess(len(problem or ""), 400)


class PatternTests(SynchronousTestCase):
    """The model's patterns compiled for Python."""

    def test_charactersBeyondTheBMP(self) -> None:
        """A range of surrogates matches the characters that they encode, and no others."""
        pattern = compilePattern(r"^[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]+$")
        self.assertTrue(pattern.fullmatch("1 \U0001f600\t"))
        self.assertIsNone(pattern.fullmatch("\x01"))

    def test_anySurrogateRange(self) -> None:
        """Any range of surrogates is translated. An unknown syntax is an error."""
        pattern = compilePattern(r"[\uD83D\uDE00-\uD83D\ude4f]")
        self.assertTrue(pattern.fullmatch("\U0001f600"))
        self.assertTrue(pattern.fullmatch("\U0001f64f"))
        self.assertIsNone(pattern.fullmatch("\U0001f650"))
        self.assertRaises(re.error, compilePattern, r"[\p{L}]")

    def test_everyPatternCompiles(self) -> None:
        """Python can compile every pattern of GameLift's model."""
        patterns = [shape["pattern"] for shape in gameLift().shapes.values() if "pattern" in shape]
        self.assertGreater(len(patterns), 50)
        for pattern in patterns:
            self.assertIsInstance(compilePattern(pattern), re.Pattern)

    def test_everyPatternOfFleetIQ(self) -> None:
        """Each pattern of FleetIQ's inputs matches its valid examples and no others."""
        names: set[str] = set()
        for operation in Operations(Fleet(lambda _event: None), lambda: 0.0).names:
            names |= shapesOf(gameLift().inputShape(operation))
        patterns = {
            name: gameLift().shapes[name]["pattern"]
            for name in names
            if "pattern" in gameLift().shapes[name]
        }
        self.assertEqual(EXAMPLES.keys(), patterns.keys())
        for name, (valid, invalid) in EXAMPLES.items():
            matches = compilePattern(patterns[name]).fullmatch
            for text in valid:
                self.assertTrue(matches(text), (name, text))
            for text in (*invalid, ""):
                self.assertIsNone(matches(text), (name, text))


class UnknownTypeTests(SynchronousTestCase):
    """A model with a type that has no check."""

    def test_typeWithoutCheck(self) -> None:
        """A type without a check is an error."""
        model = ServiceModel(
            {
                "operations": {"Act": {"input": {"shape": "In"}}},
                "shapes": {
                    "In": {"type": "structure", "members": {"A": {"shape": "Blob"}}},
                    "Blob": {"type": "blob"},
                },
            }
        )
        self.assertRaises(NotImplementedError, model.problem, "Act", {})
