"""What a failed call means: of real calls to a loopback endpoint, and of exceptions made here."""

from __future__ import annotations

import socket
from typing import Any, cast

from botocore import exceptions as said
from botocore.config import Config
from twisted.trial.unittest import SynchronousTestCase

from echoserver.gamelift.client import EndpointConfig, openClient
from echoserver.gamelift.errors import (
    CallFailed,
    ConflictException,
    NotFoundException,
    OutOfCapacityException,
    notOpened,
    overdue,
    translate,
)
from tests.awsdoubles import ONE, REGISTER, LoopbackEndpoint, gameLiftWith, localSession


class OutcomeTests(SynchronousTestCase):
    """What the real botocore makes of what an endpoint does, and what we make of that."""

    def setUp(self) -> None:
        self.endpoint = LoopbackEndpoint()
        self.addCleanup(self.endpoint.close)
        self.session = localSession()
        where = EndpointConfig(endpoint=self.endpoint.url, local=True)
        self.client = openClient(self.session, where, "us-east-1")

    def failed(self, client: object | None = None, **members: Any) -> CallFailed:
        gameLift = gameLiftWith(client or self.client)
        call = gameLift.call("RegisterGameServer", **{**REGISTER, **members})
        error = self.failureResultOf(call, CallFailed).value
        self.assertNotIn("\n", str(error))
        self.assertIn("RegisterGameServer", str(error))
        return cast(CallFailed, error)

    def assertSays(self, error: CallFailed, *, retry: bool, mayHaveHappened: bool) -> None:
        self.assertEqual((error.retry, error.mayHaveHappened), (retry, mayHaveHappened), str(error))

    def test_reply(self) -> None:
        """A reply is what it says, without the metadata of the response."""
        self.endpoint.says(200, {"GameServer": {"GameServerId": "server"}})
        reply = self.successResultOf(gameLiftWith(self.client).call("DescribeGameServer", **ONE))
        self.assertEqual(reply, {"GameServer": {"GameServerId": "server"}})

    def test_refusals(self) -> None:
        """No 4xx has happened; throttling, the quota and stale credentials pass."""
        for status, code, retry in [
            (400, "AccessDeniedException", False),
            (400, "ConflictException", False),
            (400, "InvalidRequestException", False),
            (400, "NotFoundException", False),
            (400, "UnauthorizedException", False),
            (400, "UnrecognizedClientException", False),
            (400, "ExpiredTokenException", True),
            (400, "LimitExceededException", True),
            (400, "OutOfCapacityException", True),
            (400, "ThrottlingException", True),
            (429, "TooBusy", True),
            (499, "ClientClosedRequest", False),
        ]:
            with self.subTest(code):
                self.endpoint.refuses(status, code)
                error = self.failed()
                self.assertSays(error, retry=retry, mayHaveHappened=False)
                self.assertEqual(error.code, code)
                self.assertIn(f"was refused: {code}: so it is.", str(error))

    def test_kinds(self) -> None:
        """What a game server or a player decides by is a class of its own."""
        for code, kind in [
            ("NotFoundException", NotFoundException),
            ("ConflictException", ConflictException),
            ("OutOfCapacityException", OutOfCapacityException),
            ("InvalidRequestException", CallFailed),
        ]:
            self.endpoint.refuses(400, code)
            self.assertIs(type(self.failed()), kind)

    def test_cure(self) -> None:
        """A refusal for want of permission names the permission."""
        self.endpoint.refuses(400, "AccessDeniedException", "User is not authorized.")
        self.assertEqual(
            str(self.failed()),
            "RegisterGameServer was refused: AccessDeniedException: User is not authorized."
            " Allow gamelift:RegisterGameServer on the group to this role or user.",
        )

    def test_strangersPage(self) -> None:
        """A proxy's page is a refusal that may not be repeated; the sentence takes little of it."""
        self.endpoint.says(403, b"<html>\n<p>" + b"no way\n" * 1000)
        error = self.failed()
        self.assertSays(error, retry=False, mayHaveHappened=False)
        self.assertLess(len(str(error)), 400)

    def test_strangers404(self) -> None:
        """A 404 that is not GameLift's does not say that the game server is gone."""
        self.endpoint.says(404, b"<html>")
        self.assertIs(type(self.failed()), CallFailed)

    def test_serverErrors(self) -> None:
        """A 5xx may have happened, with a body or without."""
        for body in (b'{"__type": "InternalServiceException"}', b"<html>", b""):
            for status in (500, 502, 503, 504):
                self.endpoint.says(status, body)
                error = self.failed()
                self.assertSays(error, retry=True, mayHaveHappened=True)
                self.assertNotIn("refused", str(error))

    def test_unreadable(self) -> None:
        """A 200 that cannot be read may have happened."""
        for body in (
            b"[1]",
            b'"x"',
            b'{"GameServer": [1]}',
            b'{"GameServer": {"RegistrationTime": "soon"}}',
            b"\xff\xfe",
        ):
            self.endpoint.says(200, body)
            error = self.failed()
            self.assertSays(error, retry=True, mayHaveHappened=True)
            self.assertEqual(error.code, "unreadable")

    def test_garbage(self) -> None:
        """What botocore reads as a reply without members is one: who needs a member says so."""
        for body in (b"<html>", b""):
            self.endpoint.says(200, body)
            call = gameLiftWith(self.client).call("RegisterGameServer", **REGISTER)
            self.assertEqual(self.successResultOf(call), {})

    def test_connectionLost(self) -> None:
        """An end or a reset before the reply is whole may have happened."""
        for resets in (False, True):
            self.endpoint.resets = resets
            self.endpoint.answer = b""
            self.assertSays(self.failed(), retry=True, mayHaveHappened=True)
        self.endpoint.says(200, b'{"GameServer": {', short=50)
        self.assertSays(self.failed(), retry=True, mayHaveHappened=True)
        self.endpoint.answer = b"SSH-2.0-no-http\r\n"
        self.assertSays(self.failed(), retry=True, mayHaveHappened=True)

    def test_silence(self) -> None:
        """A read time-out may have happened."""
        self.endpoint.silent = True
        config = Config(read_timeout=0.1, retries={"total_max_attempts": 1}, proxies={})
        client = self.session.client("gamelift", endpoint_url=self.endpoint.url, config=config)
        error = self.failed(client)
        self.assertSays(error, retry=True, mayHaveHappened=True)
        self.assertEqual(error.code, "ReadTimeoutError")

    def test_refusedConnection(self) -> None:
        """A refused connection has not happened, and the sentence says what to check."""
        deaf = socket.socket()
        self.addCleanup(deaf.close)
        deaf.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        where = EndpointConfig(endpoint=url, local=True)
        error = self.failed(openClient(self.session, where, "us-east-1"))
        self.assertSays(error, retry=True, mayHaveHappened=False)
        self.assertEqual(error.code, "EndpointConnectionError")
        self.assertIn(url, str(error))
        self.assertIn("was not sent", str(error))
        self.assertIn("Check the region or the endpoint's URL", str(error))

    def test_wrongMember(self) -> None:
        """What boto3 itself refuses was not sent, and no repeating helps."""
        error = self.failed(GameServerId="ab")
        self.assertSays(error, retry=False, mayHaveHappened=False)
        self.assertIn("was not sent: Parameter validation failed: Invalid length", str(error))
        self.assertEqual(self.endpoint.requests, [])


class TranslateTests(SynchronousTestCase):
    """Exceptions that would take long to come by."""

    def test_outcomes(self) -> None:
        """Whether to retry, and whether it may have happened."""
        url = "https://gamelift.us-east-1.amazonaws.com/"
        for error, retry, mayHaveHappened in [
            (said.ConnectTimeoutError(endpoint_url=url), True, False),
            (said.EndpointConnectionError(endpoint_url=url), True, False),
            (said.ProxyConnectionError(proxy_url="http://proxy"), True, False),
            (said.CredentialRetrievalError(provider="iam-role", error_msg="no"), True, False),
            (said.MetadataRetrievalError(error_msg="no"), True, False),
            (said.NoCredentialsError(), False, False),
            (said.PartialCredentialsError(provider="env", cred_var="KEY"), False, False),
            (said.UnauthorizedSSOTokenError(), False, False),
            (said.ReadTimeoutError(endpoint_url=url), True, True),
            (said.SSLError(endpoint_url=url, error="bad record"), True, True),
            (said.HTTPClientError(error="?"), True, True),
        ]:
            with self.subTest(type(error).__name__):
                means = translate("UpdateGameServer", error)
                self.assertEqual((means.retry, means.mayHaveHappened), (retry, mayHaveHappened))
                self.assertEqual(means.code, type(error).__name__)
                self.assertTrue(str(means).startswith("UpdateGameServer "), str(means))
                self.assertTrue(str(means).endswith("."), str(means))
                self.assertNotIn("..", str(means))

    def test_noSecrets(self) -> None:
        """Neither the password of a URL is repeated, nor the token that AWS repeats to us."""
        url = "https://user:secret@proxy.example/"
        sentence = str(translate("RegisterGameServer", said.ReadTimeoutError(endpoint_url=url)))
        self.assertIn("https://proxy.example/", sentence)
        self.assertNotIn("secret", sentence)
        message = "No match. The Canonical String for this request: x-amz-security-token:secret"
        code = {"Code": "InvalidSignatureException", "Message": message}
        refused = said.ClientError({"Error": code}, "RegisterGameServer")
        self.assertEqual(
            str(translate("RegisterGameServer", refused)),
            "RegisterGameServer was refused: InvalidSignatureException: No match."
            " Check the secret key, and this machine's clock.",
        )

    def test_noCredentials(self) -> None:
        """Without credentials the sentence says where they may come from."""
        sentence = str(translate("RegisterGameServer", said.NoCredentialsError()))
        self.assertEqual(
            sentence,
            "RegisterGameServer was not sent: Unable to locate credentials. Attach an instance"
            " profile, set AWS_PROFILE or AWS_ACCESS_KEY_ID, or run 'aws configure'.",
        )

    def test_longestReason(self) -> None:
        """A reason of 300 characters is told whole; of a longer one, as many."""
        for length, told in ((300, "x" * 300), (301, "x" * 300 + "...")):
            code = {"Code": "InvalidRequestException", "Message": "x" * length}
            refused = translate("Claim", said.ClientError({"Error": code}, "Claim"))
            self.assertEqual(f"Claim was refused: InvalidRequestException: {told}.", str(refused))

    def test_overdue(self) -> None:
        """A call that does not end may have happened only if it had got a thread."""
        for sent, sentence in (
            (True, "Claim did not end within 12 s."),
            (False, "Claim was not sent: no thread was free within 12 s."),
        ):
            late = overdue("Claim", 12.4, sent=sent)
            self.assertEqual(
                ("Overdue", sentence, True, sent),
                (late.code, str(late), late.retry, late.mayHaveHappened),
            )

    def test_notOpened(self) -> None:
        """What keeps boto3 from starting is a setting: no call was made, none is repeated."""
        error = notOpened("The client", said.NoRegionError())
        self.assertEqual(
            (
                "NoRegionError",
                "boto3 did not start: You must specify a region. Give --region, or set AWS_REGION.",
                False,
                False,
            ),
            (error.code, str(error), error.retry, error.mayHaveHappened),
        )
