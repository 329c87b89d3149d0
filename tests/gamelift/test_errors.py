"""Tests of echoserver.gamelift.errors: real calls to a loopback endpoint, and exceptions."""

from __future__ import annotations

import socket
from typing import Any, cast

from botocore import exceptions
from botocore.config import Config
from twisted.trial.unittest import SynchronousTestCase

from echoserver.gamelift.client import EndpointConfig, openCheckedClient
from echoserver.gamelift.errors import (
    ERROR_CODES,
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
    """The error for each response of an endpoint, with the real botocore."""

    def setUp(self) -> None:
        self.endpoint = LoopbackEndpoint()
        self.addCleanup(self.endpoint.close)
        self.session = localSession()
        where = EndpointConfig(endpoint=self.endpoint.url, local=True)
        self.client = openCheckedClient(self.session, where, "us-east-1")

    def failed(self, client: object | None = None, **members: Any) -> CallFailed:
        gameLift = gameLiftWith(client or self.client)
        call = gameLift.call("RegisterGameServer", **{**REGISTER, **members})
        error = self.failureResultOf(call, CallFailed).value
        self.assertNotIn("\n", str(error))
        self.assertIn("RegisterGameServer", str(error))
        return cast(CallFailed, error)

    def assertMeans(self, error: CallFailed, *, retry: bool, mayHaveHappened: bool) -> None:
        self.assertEqual((error.retry, error.mayHaveHappened), (retry, mayHaveHappened), str(error))

    def test_reply(self) -> None:
        """A valid reply is returned without the metadata of the response."""
        server = {
            "GameServerId": ONE["GameServerId"],
            "InstanceId": "i-0123456789abcdef0",
            "UtilizationStatus": "AVAILABLE",
        }
        self.endpoint.setResponse(200, {"GameServer": server})
        reply = self.successResultOf(gameLiftWith(self.client).call("DescribeGameServer", **ONE))
        self.assertEqual(reply, {"GameServer": server})

    def test_refusals(self) -> None:
        """A call with status 4xx has not happened. Some are retried, as throttling."""
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
                self.endpoint.setError(status, code)
                error = self.failed()
                self.assertMeans(error, retry=retry, mayHaveHappened=False)
                self.assertEqual(error.code, code)
                self.assertIn(f"was refused: {code}: so it is.", str(error))

    def test_classes(self) -> None:
        """The errors that callers distinguish have their own classes."""
        for code, errorClass in [
            ("NotFoundException", NotFoundException),
            ("ConflictException", ConflictException),
            ("OutOfCapacityException", OutOfCapacityException),
            ("InvalidRequestException", CallFailed),
        ]:
            self.endpoint.setError(400, code)
            self.assertIs(type(self.failed()), errorClass)

    def test_hint(self) -> None:
        """The error for a missing permission names the permission."""
        self.endpoint.setError(400, "AccessDeniedException", "User is not authorized.")
        self.assertEqual(
            str(self.failed()),
            "RegisterGameServer was refused: AccessDeniedException: User is not authorized."
            " Allow gamelift:RegisterGameServer on the group to this role or user.",
        )

    def test_page(self) -> None:
        """A page with status 403 is not retried. The sentence has only its beginning."""
        self.endpoint.setResponse(403, b"<html>\n<p>" + b"no way\n" * 1000)
        error = self.failed()
        self.assertMeans(error, retry=False, mayHaveHappened=False)
        self.assertLess(len(str(error)), 400)

    def test_page404(self) -> None:
        """A page with status 404 does not mean that the game server does not exist."""
        self.endpoint.setResponse(404, b"<html>")
        self.assertIs(type(self.failed()), CallFailed)

    def test_serverErrors(self) -> None:
        """A call with status 5xx may have happened, with a body or without."""
        for body in (b'{"__type": "InternalServiceException"}', b"<html>", b""):
            for status in (500, 502, 503, 504):
                self.endpoint.setResponse(status, body)
                error = self.failed()
                self.assertMeans(error, retry=True, mayHaveHappened=True)
                self.assertNotIn("refused", str(error))

    def test_unreadable(self) -> None:
        """A call with status 200 and an invalid reply may have happened."""
        for body in (
            b"[1]",
            b'"x"',
            b'{"GameServer": [1]}',
            b'{"GameServer": {"RegistrationTime": "soon"}}',
            b"\xff\xfe",
        ):
            self.endpoint.setResponse(200, body)
            error = self.failed()
            self.assertMeans(error, retry=True, mayHaveHappened=True)
            self.assertEqual(error.code, "unreadable")

    def test_garbage(self) -> None:
        """A page or an empty body with status 200 may have happened too."""
        for body in (b"<html>", b""):
            self.endpoint.setResponse(200, body)
            self.assertMeans(self.failed(), retry=True, mayHaveHappened=True)

    def test_hostileCode(self) -> None:
        """A code and a message of an endpoint are escaped and cut. The label is "other"."""
        self.endpoint.setError(400, "\x1b[2J\u202e" + "x" * 10_000, "\x1b]0;title\x07\r\nline")
        error = self.failed()
        self.assertTrue(str(error).isprintable(), repr(str(error)))
        self.assertIn("\\x1b[2J\\u202exxx", str(error))
        self.assertIn(": \\x1b]0;title\\x07 line.", str(error))
        self.assertLess(len(str(error)), 600)
        self.assertTrue(error.code.isprintable())
        self.assertLess(len(error.code), 110)
        self.assertEqual(error.label, "other")

    def test_hostileHeaders(self) -> None:
        """A code in a header, or of another type, is an error that is printable."""
        for body in (
            {"__type": 7},
            {"__type": ["x"]},
            {"__type": None},
            {"message": {"x": "\x1b"}},
        ):
            self.endpoint.setResponse(400, body)
            self.assertTrue(str(self.failed()).isprintable())
        self.endpoint.response = (
            b"HTTP/1.1 400 \x1b[31mBad\r\nx-amzn-query-error: \x1b[2J;Sender\r\n"
            b"x-amzn-errortype: \x1b[2J\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
        )
        self.assertTrue(str(self.failed()).isprintable())

    def test_connectionLost(self) -> None:
        """If the connection ends before the reply does, the call may have happened."""
        for resets in (False, True):
            self.endpoint.resets = resets
            self.endpoint.response = b""
            self.assertMeans(self.failed(), retry=True, mayHaveHappened=True)
        self.endpoint.setResponse(200, b'{"GameServer": {', short=50)
        self.assertMeans(self.failed(), retry=True, mayHaveHappened=True)
        self.endpoint.response = b"SSH-2.0-no-http\r\n"
        self.assertMeans(self.failed(), retry=True, mayHaveHappened=True)

    def test_silence(self) -> None:
        """After a read timeout, the call may have happened."""
        self.endpoint.silent = True
        config = Config(read_timeout=0.1, retries={"total_max_attempts": 1}, proxies={})
        client = self.session.client("gamelift", endpoint_url=self.endpoint.url, config=config)
        error = self.failed(client)
        self.assertMeans(error, retry=True, mayHaveHappened=True)
        self.assertEqual(error.code, "ReadTimeoutError")

    def test_refusedConnection(self) -> None:
        """If the connection is refused, the call has not happened. There is a hint."""
        deaf = socket.socket()
        self.addCleanup(deaf.close)
        deaf.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        where = EndpointConfig(endpoint=url, local=True)
        error = self.failed(openCheckedClient(self.session, where, "us-east-1"))
        self.assertMeans(error, retry=True, mayHaveHappened=False)
        self.assertEqual(error.code, "EndpointConnectionError")
        self.assertIn(url, str(error))
        self.assertIn("was not sent", str(error))
        self.assertIn("Check the region or the endpoint's URL", str(error))

    def test_wrongMember(self) -> None:
        """Input that boto3 rejects is not sent. Do not retry."""
        error = self.failed(GameServerId="ab")
        self.assertMeans(error, retry=False, mayHaveHappened=False)
        self.assertIn("was not sent: Parameter validation failed: Invalid length", str(error))
        self.assertEqual(self.endpoint.requests, [])


class TranslateTests(SynchronousTestCase):
    """Exceptions that no endpoint on loopback causes quickly."""

    def test_outcomes(self) -> None:
        """Each exception has its values of C{retry} and C{mayHaveHappened}."""
        url = "https://gamelift.us-east-1.amazonaws.com/"
        for error, retry, mayHaveHappened in [
            (exceptions.ConnectTimeoutError(endpoint_url=url), True, False),
            (exceptions.EndpointConnectionError(endpoint_url=url), True, False),
            (exceptions.ProxyConnectionError(proxy_url="http://proxy"), True, False),
            (exceptions.CredentialRetrievalError(provider="iam-role", error_msg="no"), True, False),
            (exceptions.MetadataRetrievalError(error_msg="no"), True, False),
            (exceptions.NoCredentialsError(), False, False),
            (exceptions.PartialCredentialsError(provider="env", cred_var="KEY"), False, False),
            (exceptions.UnauthorizedSSOTokenError(), False, False),
            (exceptions.ReadTimeoutError(endpoint_url=url), True, True),
            (exceptions.SSLError(endpoint_url=url, error="bad record"), True, True),
            (exceptions.HTTPClientError(error="?"), True, True),
        ]:
            with self.subTest(type(error).__name__):
                result = translate("UpdateGameServer", error)
                self.assertEqual((result.retry, result.mayHaveHappened), (retry, mayHaveHappened))
                self.assertEqual(result.code, type(error).__name__)
                self.assertEqual(result.label, type(error).__name__)
                self.assertTrue(str(result).startswith("UpdateGameServer "), str(result))
                self.assertTrue(str(result).endswith("."), str(result))
                self.assertNotIn("..", str(result))

    def test_noSecrets(self) -> None:
        """The password of a URL and the session token are not in the sentence."""
        url = "https://user:secret@proxy.example/"
        sentence = str(
            translate("RegisterGameServer", exceptions.ReadTimeoutError(endpoint_url=url))
        )
        self.assertIn("https://proxy.example/", sentence)
        self.assertNotIn("secret", sentence)
        message = "No match. The Canonical String for this request: x-amz-security-token:secret"
        code = {"Code": "InvalidSignatureException", "Message": message}
        refused = exceptions.ClientError({"Error": code}, "RegisterGameServer")
        self.assertEqual(
            str(translate("RegisterGameServer", refused)),
            "RegisterGameServer was refused: InvalidSignatureException: No match."
            " Check the secret key, and this machine's clock.",
        )

    def test_noCredentials(self) -> None:
        """Without credentials, there is a hint where to set them."""
        sentence = str(translate("RegisterGameServer", exceptions.NoCredentialsError()))
        self.assertEqual(
            sentence,
            "RegisterGameServer was not sent: Unable to locate credentials. Attach an instance"
            " profile, set AWS_PROFILE or AWS_ACCESS_KEY_ID, or run 'aws configure'.",
        )

    def test_longestReason(self) -> None:
        """A reason has at most 300 characters; a longer one is cut."""
        for length, shown in ((300, "x" * 300), (301, "x" * 300 + "...")):
            code = {"Code": "InvalidRequestException", "Message": "x" * length}
            refused = translate("Claim", exceptions.ClientError({"Error": code}, "Claim"))
            self.assertEqual(f"Claim was refused: InvalidRequestException: {shown}.", str(refused))

    def test_overdue(self) -> None:
        """A call that does not end in time may have happened only if a thread has sent it."""
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
        """If a setting is wrong, boto3 does not start. Do not retry."""
        error = notOpened("The client", exceptions.NoRegionError())
        self.assertEqual(
            (
                "NoRegionError",
                "boto3 did not start: You must specify a region. Give --region, or set AWS_REGION.",
                False,
                False,
            ),
            (error.code, str(error), error.retry, error.mayHaveHappened),
        )

    def test_proxy(self) -> None:
        """If the proxy fails, the hint names the hosts that need none; the call is retried."""
        proxy = exceptions.ProxyConnectionError(proxy_url="http://user:secret@proxy:3128")
        hosts = ["169.254.169.254", "gamelift.eu-west-3.amazonaws.com"]
        hint = (
            "Check the proxy in HTTP_PROXY and HTTPS_PROXY, or name the hosts that need none in"
            " no_proxy: 169.254.169.254"
        )
        for error in (translate("Claim", proxy, hosts), notOpened("client", proxy, hosts)):
            self.assertEqual((error.retry, error.mayHaveHappened), (True, False))
            self.assertIn(
                f'"http://proxy:3128". {hint},gamelift.eu-west-3.amazonaws.com.', str(error)
            )
        self.assertIn(f" {hint}.", str(translate("Claim", proxy)))

    def test_notOpenedByNetwork(self) -> None:
        """If the network fails while boto3 looks for credentials, this is retried."""
        url = "http://169.254.170.2"
        for error in (
            exceptions.ConnectTimeoutError(endpoint_url=url),
            exceptions.EndpointConnectionError(endpoint_url=url),
            exceptions.ReadTimeoutError(endpoint_url=url),
            exceptions.CredentialRetrievalError(provider="iam-role", error_msg="no"),
            exceptions.MetadataRetrievalError(error_msg="no"),
        ):
            self.assertTrue(notOpened("client", error).retry)
        for setting in (exceptions.ProfileNotFound(profile="x"), ValueError("x")):
            self.assertFalse(notOpened("client", setting).retry)


class LabelTests(SynchronousTestCase):
    """The labels of metrics."""

    def test_model(self) -> None:
        """Each error in botocore's model of GameLift is a label."""
        client: Any = localSession().client("gamelift", endpoint_url="http://x")
        model = client.meta.service_model
        self.assertEqual({each.error_code for each in model.error_shapes} - ERROR_CODES, set())

    def test_labels(self) -> None:
        """A code that is known is its own label. Every other code is "other"."""
        for code in (*ERROR_CODES, "Another", "", "\x1b[31m", "NotFoundException\n"):
            refused = exceptions.ClientError({"Error": {"Code": code}}, "Claim")
            expected = code if code in ERROR_CODES else "other"
            self.assertEqual(translate("Claim", refused).label, expected)
