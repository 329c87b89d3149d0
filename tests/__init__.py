"""Tests, a file a room; doubles.py stands in at the seams, contract.py states what FleetIQ does."""
