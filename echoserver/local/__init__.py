"""FleetIQ on a laptop. It imports nothing of the other packages."""
