"""The registration of a game server with Amazon GameLift FleetIQ, and the calls for it."""
