"""A Twisted game server on Amazon GameLift FleetIQ, and a FleetIQ that runs on a laptop."""
