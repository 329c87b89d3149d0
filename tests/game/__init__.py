"""Tests of echoserver.game."""
