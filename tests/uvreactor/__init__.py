"""Tests of echoserver.uvreactor."""
