"""Calls of every operation of the local FleetIQ, with AWS's SDKs."""
