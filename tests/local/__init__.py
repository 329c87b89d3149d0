"""Tests of the laptop's FleetIQ."""
