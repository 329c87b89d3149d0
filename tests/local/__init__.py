"""Tests of echoserver.local."""
