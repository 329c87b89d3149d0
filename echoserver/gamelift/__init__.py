"""Towards Amazon GameLift FleetIQ: what it should know of us, and the calls that tell it."""
