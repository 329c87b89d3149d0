"""The local FleetIQ over HTTP: API, controls, instance metadata."""
