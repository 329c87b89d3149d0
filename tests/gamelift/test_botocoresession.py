"""Tests of echoserver.gamelift.botocoresession: it has the settings of boto3's session."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from botocore.exceptions import ProfileNotFound
from twisted.trial.unittest import SynchronousTestCase

from echoserver.gamelift.botocoresession import openBotocoreSession
from echoserver.gamelift.client import EndpointConfig, openClient, openSession

CASES = (
    EndpointConfig(endpoint="http://127.0.0.1:4570", local=True),
    EndpointConfig("eu-west-1", "http://127.0.0.1:4570", local=True),
    EndpointConfig("eu-west-1"),
    EndpointConfig(endpoint="https://example.com"),
)
# Prints whether the import of boto3 was needed.
_LISTED = """
import sys
from echoserver.gamelift.botocoresession import openBotocoreSession
from echoserver.gamelift.client import EndpointConfig, openCheckedClient
where = EndpointConfig(endpoint="http://127.0.0.1:1", local=True)
openCheckedClient(openBotocoreSession(where), where, "us-east-1")
print("boto3" in sys.modules)
"""


class BotocoreSessionTests(SynchronousTestCase):
    """The session, in an environment with settings."""

    def setUp(self) -> None:
        self.setVariables(
            AWS_DEFAULT_REGION="ap-northeast-2",
            AWS_ACCESS_KEY_ID="mine",
            AWS_SECRET_ACCESS_KEY="secret",
            AWS_CONFIG_FILE=os.devnull,
        )

    def setVariables(self, **variables: str) -> None:
        """Set variables of the environment for this test."""
        for name, value in variables.items():
            former = os.environ.get(name)
            os.environ[name] = value
            if former is None:
                self.addCleanup(os.environ.pop, name)
            else:
                self.addCleanup(os.environ.__setitem__, name, former)

    def settings(self, session: Any, where: EndpointConfig) -> tuple[object, ...]:
        """Return the region of a session, and what a client of it has."""
        client: Any = openClient(session, where, session.region_name)
        credentials = client._request_signer._credentials
        meta = client.meta
        return session.region_name, meta.region_name, meta.endpoint_url, credentials.access_key

    def test_sameAsBoto3(self) -> None:
        """Region, endpoint and credentials are those of boto3's session."""
        for where in CASES:
            self.assertEqual(
                self.settings(openBotocoreSession(where), where),
                self.settings(openSession(where), where),
            )

    def test_profile(self) -> None:
        """An unknown profile is an error as with boto3; a local FleetIQ has no profile."""
        self.setVariables(AWS_PROFILE="unknown")
        for where in CASES[2:]:
            with self.assertRaises(ProfileNotFound):
                self.settings(openBotocoreSession(where), where)
        self.assertEqual(openBotocoreSession(CASES[0]).region_name, "us-east-1")

    def test_withoutBoto3(self) -> None:
        """boto3 is not imported."""
        printed = subprocess.check_output([sys.executable, "-c", _LISTED], text=True)
        self.assertEqual(printed, "False\n")
