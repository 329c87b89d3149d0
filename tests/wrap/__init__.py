"""Tests of L{echoserver.wrap}."""
