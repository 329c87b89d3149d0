"""Put any Twisted protocol on FleetIQ."""
