"""One process of game servers: options, start, shutdown, status."""
