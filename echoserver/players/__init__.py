"""Players: their bytes, who may come in, and when a game session begins and ends."""
