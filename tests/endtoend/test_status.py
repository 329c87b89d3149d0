"""The status port of a real process."""

import json
from datetime import UTC, datetime

from treq.client import HTTPClient
from twisted.web.client import Agent

from tests.endtoend.processes import ANY_PORT, Child, EndToEndTestCase


class StatusTests(EndToEndTestCase):
    """Asked over HTTP."""

    async def statusOf(self, child: Child) -> str:
        """Where its status port is, as it says first of all."""
        return (await child.says(r" Status on (127\.0\.0\.1:\d+)\.$"))[1]

    async def ask(self, where: str, *paths: str) -> list[tuple[int, str]]:
        """The answer to each of these paths."""
        http = HTTPClient(Agent(self.reactor))
        answers = []
        for path in paths:
            response = await http.get(f"http://{where}{path}")
            answers.append((response.code, await response.text()))
        return answers

    async def test_ready(self) -> None:
        """Once it is registered it is ready, and tells of the call that was made."""
        child = self.echo(
            f"--local={ANY_PORT}", f"--status={ANY_PORT}", "--game-server-data=secret"
        )
        where = await self.statusOf(child)
        gameServerId = await child.available()
        ready, status, metrics = await self.ask(where, "/readyz", "/status", "/metrics")
        self.assertEqual(ready, (200, "Every game server is ready.\n"))
        [server] = json.loads(status[1])["gameServers"]
        self.assertEqual((server["gameServerId"], server["known"]), (gameServerId, "AVAILABLE"))
        heard = datetime.fromisoformat(server["lastHeartbeat"])
        self.assertLess(abs((datetime.now(UTC) - heard).total_seconds()), 3600)
        self.assertNotIn("secret", status[1])
        line = 'fleetiq_api_call_seconds_count{operation="RegisterGameServer",outcome="ok"} 1.0'
        self.assertIn(line, metrics[1])

    async def test_notReady(self) -> None:
        """While FleetIQ has no room it waits, says so, and is not ready."""
        fleet = await self.local()
        await fleet.order(
            operation="RegisterGameServer", kind="error", code="LimitExceededException"
        )
        child = self.echo(f"--local={fleet.url}", f"--status={ANY_PORT}")
        where = await self.statusOf(child)
        await child.says(r" FleetIQ calls fail since .*LimitExceededException")
        health, ready = await self.ask(where, "/healthz", "/readyz")
        self.assertEqual(health[0], 200)
        self.assertEqual(ready[0], 503)
        self.assertRegex(ready[1], r"^The game server on port \d+ is not registered: Register")
