"""A FleetIQ that runs on a laptop: a world of its own, sharing no code with the rooms above."""
