"""Tests of echoserver.cli."""
