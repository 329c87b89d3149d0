"""Inputs against the service model."""

import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.validation import ServiceModel, compilePattern, gameLift

RIGHT: dict[str, dict[str, Any]] = {
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
    "DescribeGameServerInstances": {
        "GameServerGroupName": "local",
        "InstanceIds": ["i-0123456789abcdef0"] * 20,
    },
}


class GameLiftTests(SynchronousTestCase):
    """botocore's own model of GameLift."""

    def problem(self, operation: str, **changes: Any) -> str | None:
        return gameLift().problem(operation, {**RIGHT[operation], **changes})

    def test_rightInputs(self) -> None:
        """What the model allows has no problem; null is as good as absent."""
        for operation in RIGHT:
            self.assertIsNone(self.problem(operation), operation)

    def test_readOnce(self) -> None:
        """The model's file is read once a process."""
        self.assertIs(gameLift(), gameLift())

    def test_wrongInputs(self) -> None:
        """Each limit of the model is a sentence: member, what was given, what is allowed."""
        for operation, changes, sentence in (
            ("RegisterGameServer", {"InstanceId": None}, "InstanceId is missing."),
            ("RegisterGameServer", {"Colour": 1}, "'Colour' is not known: there are Game"),
            ("RegisterGameServer", {"GameServerId": 5}, "GameServerId is 5: it must be a string."),
            ("RegisterGameServer", {"GameServerId": {}}, "GameServerId is an object: it must be"),
            ("RegisterGameServer", {"GameServerId": "ab"}, "has 2 characters: it must have at l"),
            ("RegisterGameServer", {"GameServerId": "a" * 129}, "has 129 characters: it must "),
            ("RegisterGameServer", {"GameServerId": "a b"}, "'a b': it must match ^[a-zA-Z0-9"),
            ("RegisterGameServer", {"GameServerId": "abc\n"}, "'abc\\n': it must match"),
            (
                "RegisterGameServer",
                {"ConnectionInfo": " " * 512},
                "...: it must match ^.*\\S.*$ in",
            ),
            ("ListGameServers", {"Limit": 0}, "Limit is 0: it must be from 1 to 2147483647."),
            ("ListGameServers", {"Limit": 2**31}, "Limit is 2147483648: it must be from 1 to"),
            ("ListGameServers", {"Limit": True}, "Limit is true: it must be a whole number."),
            ("ListGameServers", {"Limit": 1.0}, "Limit is 1.0: it must be a whole number."),
            ("ListGameServers", {"SortOrder": "UP"}, "must be one of ASCENDING, DESCENDING."),
            ("ListGameServers", {"SortOrder": []}, "SortOrder is a list: it must be a string."),
            ("ClaimGameServer", {"FilterOption": []}, "FilterOption is a list: it must be an ob"),
            ("ClaimGameServer", {"FilterOption": {"A": 1}}, "'A' is not known in FilterOption:"),
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
        """What the model calls sensitive does not come back in a sentence."""
        for value in ("   ", {"secret": 1}, 12345):
            problem = self.problem("RegisterGameServer", GameServerData=value) or ""
            self.assertIn("GameServerData is a value that is not shown", problem)

    def test_longValuesAreCut(self) -> None:
        """A sentence stays a sentence, whatever was sent."""
        problem = self.problem("RegisterGameServer", **{"x" * 100_000: 1})
        self.assertLess(len(problem or ""), 400)


class PatternTests(SynchronousTestCase):
    """The model's patterns as Python's."""

    def test_charactersBeyondTheBMP(self) -> None:
        """What the model writes in halves matches the whole characters, and not others."""
        pattern = compilePattern(r"^[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]+$")
        self.assertTrue(pattern.fullmatch("1 \U0001f600\t"))
        self.assertIsNone(pattern.fullmatch("\x01"))

    def test_everyPatternCompiles(self) -> None:
        """No pattern of GameLift's model is one that Python cannot read."""
        patterns = [shape["pattern"] for shape in gameLift().shapes.values() if "pattern" in shape]
        self.assertGreater(len(patterns), 50)
        for pattern in patterns:
            self.assertIsInstance(compilePattern(pattern), re.Pattern)


class UnknownTypeTests(SynchronousTestCase):
    """A model with more in it than is checked."""

    def test_typeWithoutCheck(self) -> None:
        """A type that nobody checks is an error, not a pass."""
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
