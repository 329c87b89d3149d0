"""Pure: the tokens of the instance metadata service, version 2."""

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hmac import compare_digest, digest
from random import Random


class Tokens:
    """
    Issues and checks tokens, each good at one instance. A token carries its own end and is signed,
    so that none need be kept: as with the real service, one may ask for any number of them.
    """

    # The first bytes make tokens begin as real ones do; 40 bytes are 56 characters.
    _BODY = struct.Struct(">3sd5s")
    _PREFIX = b"\x01\x00\x04"
    _SIGNATURE_BYTES = 24
    _CHARACTERS = 56

    def __init__(self, dice: Random) -> None:
        self._dice = dice
        self.endAll()

    def endAll(self) -> None:
        """No token that was issued so far works any longer."""
        self._key = self._dice.randbytes(32)

    def issue(self, instanceId: str, ttl: int, now: float) -> str:
        """A token that works for C{ttl} seconds."""
        body = self._BODY.pack(self._PREFIX, now + ttl, self._dice.randbytes(5))
        return self._signed(instanceId, body)

    def secondsLeft(self, instanceId: str, token: str, now: float) -> float:
        """How long this instance's token still works: 0 or less if it does not, or never did."""
        if len(token) != self._CHARACTERS:
            return 0.0
        try:
            body = urlsafe_b64decode(token.encode("ascii"))[: self._BODY.size]
        except ValueError:
            return 0.0
        # As text, for base64 has more than one for the same bytes.
        if not compare_digest(token, self._signed(instanceId, body)):
            return 0.0
        end: float = self._BODY.unpack(body)[1]
        return end - now

    def _signed(self, instanceId: str, body: bytes) -> str:
        signature = digest(self._key, instanceId.encode("ascii") + body, "sha256")
        return urlsafe_b64encode(body + signature[: self._SIGNATURE_BYTES]).decode("ascii")
