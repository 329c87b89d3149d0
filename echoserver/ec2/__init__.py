"""The EC2 instance that this process runs on: its identity, its metadata, its interruption."""
