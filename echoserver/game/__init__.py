"""
Put any Twisted protocol on Amazon GameLift FleetIQ.

This package is the public interface; see docs/your-own-game.md. Its names follow semantic
versioning. All else in this project is private and may change with any version.
"""

from echoserver.game.game import Game, GameServer, Player
from echoserver.game.plugin import gameServiceMaker

__all__ = ["Game", "GameServer", "Player", "gameServiceMaker"]
