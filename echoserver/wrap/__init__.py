"""C{twistd fleetiq-wrap}: any executable as a FleetIQ game server, on L{echoserver.game}."""
