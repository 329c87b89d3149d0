"""Tests of echoserver.address."""

from ipaddress import IPv6Address

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.address import Address, parseConnectionInfo


class ConnectionInfoTests(SynchronousTestCase):
    """Parse ConnectionInfo, which can be any text."""

    def test_parse(self) -> None:
        """Host names and IP addresses are parsed, with and without a port."""
        for text, host, port in (
            ("ec2-1-2-3-4.compute.amazonaws.com:7777", "ec2-1-2-3-4.compute.amazonaws.com", 7777),
            (" 1.2.3.4\n", "1.2.3.4", 5000),
            ("localhost", "localhost", 5000),
            ("[2001:db8::1]:65535", "2001:db8::1", 65535),
            ("[2001:db8::1]", "2001:db8::1", 5000),
            ("2001:db8::1", "2001:db8::1", 5000),
        ):
            self.assertEqual(parseConnectionInfo(text), Address(host, port))
        self.assertEqual(parseConnectionInfo("host", 6000).port, 6000)
        self.assertEqual(parseConnectionInfo("host:1", 6000).port, 1)

    def test_invalid(self) -> None:
        """The message quotes the text, and gives the valid forms."""
        for text in (
            "",
            ":5000",
            "host:",
            "host:0",
            "host:65536",
            "[1.2.3.4]:1",
            "tcp://h:1",
            "a b",
        ):
            with self.assertRaises(ValueError) as caught:
                parseConnectionInfo(text)
            self.assertIn(repr(text), str(caught.exception))
            self.assertIn("host:port", str(caught.exception))

    @settings(deadline=None, max_examples=50)
    @given(
        st.one_of(
            st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True),
            st.ip_addresses().map(str),
        ),
        st.integers(1, 65535),
    )
    def test_roundTrip(self, host: str, port: int) -> None:
        """A formatted address is parsed as the same address."""
        address = Address(host, port)
        self.assertEqual(parseConnectionInfo(str(address)), address)

    @settings(deadline=None, max_examples=100)
    @given(st.text(max_size=30))
    def test_anyText(self, text: str) -> None:
        """Any text is parsed to a valid address, or raises ValueError."""
        try:
            address = parseConnectionInfo(text)
        except ValueError:
            return
        self.assertTrue(1 <= address.port <= 65535)
        if ":" in address.host:
            IPv6Address(address.host)
