"""Games other than Echo: the example, and games that are not in this repository."""

from __future__ import annotations

import re
from pathlib import Path
from shutil import copytree, ignore_patterns

from tests.endtoend.processes import ANY_PORT, Child, EndToEndTestCase, LocalFleetIQ, Player

ROOT = Path(__file__).parents[2]
GAME = r"""
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver
from twisted.protocols.wire import Echo

from echoserver.game import Game, GameServer, Player


class Shout(LineReceiver):
    delimiter = b"\n"

    def lineReceived(self, line: bytes) -> None:
        assert self.transport is not None
        if line == b"bye":
            self.transport.write(b"BYE\n")
            self.transport.loseConnection()
        else:
            self.transport.write(line.upper() + b"\n")


class ShoutFactory(Game, Factory):
    protocol = Shout

    def claimed(self, data: str) -> None:
        print(f"claimed with {data}", flush=True)

    def draining(self, deadline: float | None, reason: str) -> None:
        print(f"draining, {reason}", flush=True)

    def playerJoined(self, player: Player) -> None:
        print(f"joined {player.address}", flush=True)

    def healthy(self) -> bool:
        return self.gameServer.options.get("max-players") is None


def makeFactory(gameServer: GameServer) -> ShoutFactory:
    return ShoutFactory(gameServer)


def makeWire(gameServer: GameServer) -> Factory:
    return Factory.forProtocol(Echo)
"""
PLUGIN = """
from echoserver.game import gameServiceMaker

shout = gameServiceMaker("shout", "shout.makeFactory", "Shout.")
"""


class GamesTestCase(EndToEndTestCase):
    """Start commands of games in an empty folder."""

    async def game(self, *words: str) -> tuple[Child, LocalFleetIQ, int]:
        """Start C{twistd -n} with an embedded FleetIQ. Return process, FleetIQ and game port."""
        command = ("twistd", "-n", *words, f"--listen={ANY_PORT}", f"--local={ANY_PORT}")
        child = self.start(*command, PYTHONPATH=str(self.folder))
        found = await child.nextLine(r" LOCAL FleetIQ on (\S+), AWS is not contacted\.$")
        return child, LocalFleetIQ(self.reactor, found[1]), await self.gamePort(child)


class OtherGameTests(GamesTestCase):
    """A game that is not in this repository."""

    def setUp(self) -> None:
        super().setUp()
        (self.folder / "shout.py").write_text(GAME)
        plugins = self.folder / "twisted" / "plugins"
        plugins.mkdir(parents=True)
        (plugins / "shout_plugin.py").write_text(PLUGIN)

    async def play(self, *words: str) -> None:
        """Claim, play a session, wait for the next registration, and play during the shutdown."""
        child, fleet, port = await self.game(*words)
        first = await child.available()
        await fleet.call("ClaimGameServer", GameServerId=first, GameServerData="map=7")
        player = await self.player(port)
        player.send(b"hello\n")
        await player.receives(b"HELLO\n")
        await child.anyLine(r"joined 127\.0\.0\.1:\d+$")
        await child.anyLine(r" UTILIZED: session 1\.$")
        await child.anyLine(r"claimed with map=7$")
        player.send(b"bye\n")
        self.assertEqual(b"HELLO\nBYE\n", await player.whenClosed())
        self.assertNotEqual(first, await child.available())
        another = await self.player(port)
        another.send(b"hello\n")
        await another.receives(b"HELLO\n")
        child.transport.signalProcess("TERM")
        await child.anyLine(r"draining, the process stops$")
        another.send(b"bye\n")
        await another.whenClosed()
        await child.exitStatus()
        await child.anyLine(r" Deregistered ")

    async def test_plugin(self) -> None:
        """A plugin of one line makes a command."""
        await self.play("shout")

    async def test_factory(self) -> None:
        """C{fleetiq-game --factory} needs no plugin."""
        await self.play("fleetiq-game", "--factory=shout.makeFactory")

    async def test_wireEcho(self) -> None:
        """A factory that is not a L{Game} has admission and sessions."""
        child, _, port = await self.game(
            "fleetiq-game", "--factory=shout.makeWire", "--max-players=1"
        )
        await child.available()
        player, rejected = await self.player(port), await self.player(port)
        player.send(b"hello")
        await player.receives(b"hello")
        rejected.send(b"hello")
        self.assertEqual(b"FULL\n", await rejected.whenClosed())
        player.send(b"q\n")
        await player.receives(b"q\n")

    async def test_unhealthy(self) -> None:
        """An unhealthy game server is dropped after 180 s, and the reason is logged."""
        child, fleet, _ = await self.game(
            "shout", "--max-players=1", "--heartbeat=1", "--log-level=debug"
        )
        gameServerId = await child.available()
        await child.anyLine(r" Unhealthy: the game's health check failed \(it returned False\)\.")
        self.assertIn(gameServerId, await fleet.gameServers())
        await fleet.control("clock", advance=181)
        self.assertNotIn(gameServerId, await fleet.gameServers())
        self.assertEqual([], [line for line in child.lines if " Heartbeat of " in line])

    async def test_types(self) -> None:
        """The game passes C{mypy --strict}."""
        mypy = ("python", "-m", "mypy", "--strict", "--follow-imports=silent", "shout.py")
        child = self.start(*mypy, PYTHONPATH=str(ROOT))
        # Without its cache, mypy takes half a minute on a busy machine.
        self.assertEqual(0, await child.exitStatus(within=100), child.describe())


class TicTacToeTests(GamesTestCase):
    """The game in examples/tictactoe."""

    async def test_match(self) -> None:
        """After a claim, two players and a win, the session ends. The server registers again."""
        copytree(
            ROOT / "examples/tictactoe",
            self.folder,
            dirs_exist_ok=True,
            ignore=ignore_patterns("__pycache__", "_trial_temp*"),
        )
        child, fleet, port = await self.game("tictactoe")
        first = await child.available()
        await fleet.call("ClaimGameServer", GameServerId=first, GameServerData="room=blue")
        x = await self.player(port)
        await child.anyLine(r" joined session 1; ")
        o = await self.player(port)
        await child.anyLine(r" UTILIZED: session 1\.$")
        for turn, move in enumerate((1, 4, 2, 5, 3)):
            for player in (x, o):
                await self.boards(player, turn + 1)
            (x, o)[turn % 2].send(b"%d\n" % move)
        for player in (x, o):
            received = await player.whenClosed()
            self.assertIn(b"X X X\nO O 6\n7 8 9\nX wins.\n", received)
        self.assertIn(b"This is room blue.\n", x.received)
        self.assertNotEqual(first, await child.available())

    async def boards(self, player: Player, count: int) -> None:
        """Wait until the player has received a number of boards."""
        board = re.compile(rb"^(?:[1-9XO] [1-9XO] [1-9XO]\n){3}", re.MULTILINE)
        await player.until(
            f"{count} boards", lambda: len(board.findall(player.received)) >= count or None
        )

    async def test_ownTests(self) -> None:
        """The tests of the example pass with the command of its README."""
        folder = ROOT / "examples/tictactoe"
        trial = ("trial", f"--temp-directory={self.folder / 'trial'}", "test_tictactoe")
        child = self.start(*trial, PYTHONPATH=str(folder), PYTHONDONTWRITEBYTECODE="1")
        self.assertEqual(0, await child.exitStatus(), child.describe())
