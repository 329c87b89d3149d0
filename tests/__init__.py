"""Tests, a file for each module. contract.py describes the behavior of FleetIQ."""
