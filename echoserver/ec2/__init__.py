"""The EC2 instance this process runs on: who it is, and when it goes away."""
