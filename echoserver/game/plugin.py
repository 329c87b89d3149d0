"""C{gameServiceMaker}: a twistd plugin for a game, in one line."""

from __future__ import annotations

from typing import Any

from twisted.application.service import IService, IServiceMaker
from twisted.plugin import IPlugin
from twisted.python.reflect import namedAny
from zope.interface import implementer

# By name, so that "twistd --help", which loads each plugin, imports neither the server nor a game.
_OPTIONS_FOR = "echoserver.server.options.optionsFor"
_INTERRUPT_BY_DEFAULT = "echoserver.processsignals.interruptByDefault"
_MAKE_SERVICE = "echoserver.server.tap.makeService"


@implementer(IServiceMaker, IPlugin)
class GameServiceMaker:
    """
    The plugin of one game. See L{gameServiceMaker}.

    @ivar tapname: the command of twistd.
    @ivar description: its text in C{twistd --help}.
    """

    def __init__(
        self,
        tapname: str,
        factory: str | None,
        description: str,
        options: str | type[Any] | None,
        sessionPolicy: str,
    ) -> None:
        self.tapname = tapname
        self.description = description
        self._factory = factory
        self._gameOptions = options
        self._sessionPolicy = sessionPolicy

    @property
    def options(self) -> Any:
        """Return the class of the command's options: the game server's and the game's."""
        namedAny(_INTERRUPT_BY_DEFAULT)()
        gameOptions = self._gameOptions
        if isinstance(gameOptions, str):
            gameOptions = namedAny(gameOptions)
        return namedAny(_OPTIONS_FOR)(
            self.tapname, self._factory, self.description, gameOptions, self._sessionPolicy
        )

    def makeService(self, options: Any) -> IService:
        """Make the service of the process."""
        service: IService = namedAny(_MAKE_SERVICE)(options)
        return service


def gameServiceMaker(
    tapname: str,
    factory: str | None,
    description: str,
    *,
    options: str | type[Any] | None = None,
    sessionPolicy: str = "players",
) -> GameServiceMaker:
    """
    Make a plugin for C{twistd}: assign it to a name in a module of C{twisted/plugins/}::

        tictactoe = gameServiceMaker("tictactoe", "tictactoe.makeFactory", "Tic-tac-toe.")

    C{twistd -n tictactoe} then serves the game, with all options of C{twistd fleetiq-echo}.

    @param tapname: the command of twistd.
    @param factory: the full name of a callable. It is called once for each game server, with the
        L{GameServer<echoserver.game.GameServer>}, and returns a protocol factory. None adds the
        option C{--factory} for it.
    @param description: the text in C{twistd --help}.
    @param options: further options, as a subclass of C{twisted.python.usage.Options}
        or its full name. The game finds them in C{gameServer.options}.
    @param sessionPolicy: the default of C{--session-policy}.
    """
    return GameServiceMaker(tapname, factory, description, options, sessionPolicy)
