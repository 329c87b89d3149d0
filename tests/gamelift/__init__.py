"""Tests of echoserver.gamelift."""
