"""One process of game servers: options, start and stop, status."""
