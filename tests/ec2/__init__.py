"""Tests of echoserver.ec2."""
