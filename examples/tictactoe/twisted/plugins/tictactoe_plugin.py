"""C{twistd -n tictactoe}."""

from echoserver.game import gameServiceMaker

tictactoe = gameServiceMaker(
    "tictactoe",
    "tictactoe.makeFactory",
    "Tic-tac-toe on GameLift FleetIQ.",
    sessionPolicy="manual",
)
