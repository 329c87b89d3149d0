"""C{twistd fleetiq-wrap}: any executable as a FleetIQ game server. A game on L{echoserver.game}."""
