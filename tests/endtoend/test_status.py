"""The status port of a real process."""

import json
from datetime import UTC, datetime

from treq.client import HTTPClient
from twisted.web.client import Agent

from tests.endtoend.processes import ANY_PORT, Child, EndToEndTestCase


class StatusTests(EndToEndTestCase):
    """Requests over HTTP."""

    async def statusAddress(self, child: Child) -> str:
        """Wait for the line with the address of the status port, and return the address."""
        return (await child.nextLine(r" Status on (127\.0\.0\.1:\d+)\.$"))[1]

    async def get(self, address: str, *paths: str) -> list[tuple[int, str]]:
        """Return status and text of the response for each path."""
        http = HTTPClient(Agent(self.reactor))
        responses = []
        for path in paths:
            response = await http.get(f"http://{address}{path}")
            responses.append((response.code, await response.text()))
        return responses

    async def test_ready(self) -> None:
        """A registered game server is ready, and its call to FleetIQ is in the metrics."""
        child = self.echo(
            f"--local={ANY_PORT}", f"--status={ANY_PORT}", "--game-server-data=secret"
        )
        address = await self.statusAddress(child)
        gameServerId = await child.available()
        ready, status, metrics = await self.get(address, "/readyz", "/status", "/metrics")
        self.assertEqual(ready, (200, "Every game server is ready.\n"))
        [server] = json.loads(status[1])["gameServers"]
        self.assertEqual((server["gameServerId"], server["known"]), (gameServerId, "AVAILABLE"))
        heartbeat = datetime.fromisoformat(server["lastHeartbeat"])
        self.assertLess(abs((datetime.now(UTC) - heartbeat).total_seconds()), 3600)
        self.assertNotIn("secret", status[1])
        line = 'fleetiq_api_call_seconds_count{operation="RegisterGameServer",outcome="ok"} 1.0'
        self.assertIn(line, metrics[1])

    async def test_notReady(self) -> None:
        """While the group is full, the game server is not ready, and the reason is logged."""
        fleet = await self.local()
        await fleet.addFault(
            operation="RegisterGameServer", kind="error", code="LimitExceededException"
        )
        child = self.echo(f"--local={fleet.url}", f"--status={ANY_PORT}")
        address = await self.statusAddress(child)
        await child.nextLine(r" FleetIQ calls fail since .*LimitExceededException")
        health, ready = await self.get(address, "/healthz", "/readyz")
        self.assertEqual(health[0], 200)
        self.assertEqual(ready[0], 503)
        self.assertRegex(ready[1], r"^The game server on port \d+ is not registered: Register")
