"""Tests of echoserver.server."""
