"""The effect of faults on boto3, in both protocols."""

import json
from typing import Any
from urllib.request import urlopen

from twisted.trial.unittest import TestCase

from echoserver.local.model.values import instanceIdOf
from tests.local.test_contract import CBOR, JSON, openBoto3

SRV_1 = {"GameServerGroupName": "local", "GameServerId": "srv-1"}


class Boto3Tests(TestCase):
    """boto3 over a socket to a local FleetIQ with faults."""

    async def checkFaults(self, protocol: str) -> None:
        """Apply one fault after the other to one client."""
        from botocore.exceptions import ClientError, ConnectionClosedError

        access = await openBoto3(protocol, self)
        url = access.client.meta.endpoint_url

        async def fault(**members: Any) -> None:
            body = json.dumps({"operation": "*", "count": 1, **members}).encode()
            response = await access.inThread(urlopen, f"{url}/_local/faults", body, 5)
            response.close()

        await access.call("RegisterGameServer", {**SRV_1, "InstanceId": instanceIdOf("local", 0)})
        call = access.inThread
        await fault(kind="throttle")
        with self.assertRaises(ClientError) as throttled:
            await call(access.client.describe_game_server, **SRV_1)
        self.assertEqual(
            {"Code": "ThrottlingException", "Message": "Rate exceeded"},
            throttled.exception.response["Error"],
        )
        await fault(kind="drop")
        with self.assertRaises(ConnectionClosedError):
            await call(access.client.deregister_game_server, **SRV_1)
        await access.call("DescribeGameServer", SRV_1)
        await fault(kind="slow", seconds=0.01)
        await fault(kind="lost-reply")
        with self.assertRaises(ConnectionClosedError):
            await call(access.client.deregister_game_server, **SRV_1)
        with self.assertRaises(access.client.exceptions.NotFoundException):
            await call(access.client.describe_game_server, **SRV_1)

    async def test_json(self) -> None:
        """Throttling is a ClientError; a closed connection is a ConnectionClosedError."""
        await self.checkFaults(JSON)

    async def test_cbor(self) -> None:
        """The errors are the same in CBOR."""
        await self.checkFaults(CBOR)
