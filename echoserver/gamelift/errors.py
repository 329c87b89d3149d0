"""Classify failed calls to FleetIQ: whether to retry a call, and whether it may have happened."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from echoserver.printable import printable

Reply = dict[str, Any]

# botocore retries LimitExceededException too. In GameLift it can also mean that a quota is used up,
# which other calls can free.
_THROTTLED = {
    "LimitExceededException",
    "RequestLimitExceeded",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
# botocore renews expired credentials, and the next request may be in time.
_TEMPORARY = {"ExpiredToken", "ExpiredTokenException", "RequestTimeout", "RequestTimeoutException"}
_ALLOW = "Allow gamelift:{operation} on the group to this role or user."
_CHECK_KEYS = "Check AWS_PROFILE, the variables, or the instance profile."
_HINTS = {
    "AccessDenied": _ALLOW,
    "AccessDeniedException": _ALLOW,
    "ExpiredTokenException": "Renew the credentials; an instance profile's renew themselves.",
    "InvalidClientTokenId": _CHECK_KEYS,
    "InvalidSignatureException": "Check the secret key, and this machine's clock.",
    "RequestExpired": "Check this machine's clock.",
    "UnauthorizedException": _ALLOW,
    "UnrecognizedClientException": _CHECK_KEYS,
}
# The errors in GameLift's service model, and those that every AWS service can return.
ERROR_CODES = frozenset(
    {
        "ConflictException",
        "FleetCapacityExceededException",
        "GameSessionFullException",
        "IdempotentParameterMismatchException",
        "InternalServiceException",
        "InvalidFleetStatusException",
        "InvalidGameSessionStatusException",
        "InvalidRequestException",
        "NotFoundException",
        "NotReadyException",
        "OutOfCapacityException",
        "TaggingFailedException",
        "TerminalRoutingStrategyException",
        "UnsupportedRegionException",
        *_THROTTLED,
        *_TEMPORARY,
        *_HINTS,
    }
)
_NO_CREDENTIALS = (
    "Attach an instance profile, set AWS_PROFILE or AWS_ACCESS_KEY_ID, or run 'aws configure'."
)
_CHECK_NETWORK = "Check the region or the endpoint's URL, and this machine's network."
_CHECK_PROXY = (
    "Check the proxy in HTTP_PROXY and HTTPS_PROXY, or name the hosts that need none in no_proxy:"
    " {hosts}."
)
_METADATA_HOST = "169.254.169.254"
# Hints for the settings that keep boto3 from starting, by the name of its exception.
_START_HINTS = {
    "NoRegionError": "Give --region, or set AWS_REGION.",
    "ProfileNotFound": "Name another in AWS_PROFILE, or unset it.",
    "ValueError": "Check AWS_ENDPOINT_URL_GAMELIFT and the region.",
}


class InvalidReply(Exception):
    """A reply of FleetIQ is too long, or does not match its service model. The text is a clause."""


class CallFailed(Exception):
    """
    A call to FleetIQ failed. The text is a sentence in one line; all of it is printable.

    @ivar code: AWS's error code, or the name of botocore's exception.
    @ivar retry: whether the same call can succeed later without a change by a person.
    @ivar mayHaveHappened: whether FleetIQ may have executed the call.
    @ivar label: the code as a label of metrics: one of a limited number. It is C{"other"} for a
        code that is not in L{ERROR_CODES}.
    """

    def __init__(
        self,
        operation: str,
        code: str,
        sentence: str,
        *,
        retry: bool,
        mayHaveHappened: bool,
        label: str | None = None,
    ) -> None:
        super().__init__(sentence)
        self.operation = operation
        self.code = code
        self.retry = retry
        self.mayHaveHappened = mayHaveHappened
        self.label = code if label is None else label


class NotFoundException(CallFailed):
    """The group or the game server does not exist. Do not retry."""


class ConflictException(CallFailed):
    """The id is in use, or the game server is claimed. Retrying can help when the claim expires."""


class OutOfCapacityException(CallFailed):
    """No game server is free for a claim. Retrying can help."""


_CLASSES: dict[str, type[CallFailed]] = {
    "NotFoundException": NotFoundException,
    "ConflictException": ConflictException,
    "OutOfCapacityException": OutOfCapacityException,
}


def translate(operation: str, error: Exception, hosts: Sequence[str] = ()) -> CallFailed:
    """
    Return the L{CallFailed} for an exception of a boto3 call.

    @param hosts: the hosts that the call needs, for a hint about a proxy.
    """
    from botocore import exceptions

    code = type(error).__name__
    reason = _reason(error)
    retry = mayHaveHappened = False
    match error:
        case exceptions.ClientError():
            return _refused(operation, error.response)
        case InvalidReply():
            return unreadable(operation, reason)
        case exceptions.NoCredentialsError() | exceptions.PartialCredentialsError():
            sentence = f"{operation} was not sent: {reason}. {_NO_CREDENTIALS}"
        case exceptions.ProxyConnectionError():
            sentence, retry = f"{operation} was not sent: {reason}. {_proxyHint(hosts)}", True
        case exceptions.EndpointConnectionError() | exceptions.ConnectTimeoutError():
            sentence, retry = f"{operation} was not sent: {reason}. {_CHECK_NETWORK}", True
        case exceptions.CredentialRetrievalError() | exceptions.MetadataRetrievalError():
            sentence, retry = f"{operation} was not sent: {reason}.", True
        case exceptions.HTTPClientError() | exceptions.SSLError():
            sentence, retry, mayHaveHappened = f"{operation} failed: {reason}.", True, True
        case exceptions.BotoCoreError():
            sentence = f"{operation} was not sent: {reason}."
        case _:
            # Any other exception is raised while botocore reads a reply.
            return unreadable(operation, _reason(repr(error)))
    return CallFailed(operation, code, sentence, retry=retry, mayHaveHappened=mayHaveHappened)


def unreadable(operation: str, reason: str) -> CallFailed:
    """Return the error for a reply that is not valid. The call may have happened: retry."""
    sentence = f"{operation} returned an invalid reply: {reason}."
    return CallFailed(operation, "unreadable", sentence, retry=True, mayHaveHappened=True)


def overdue(operation: str, seconds: float, *, sent: bool) -> CallFailed:
    """
    Return the error for a call that did not end in time.

    @param sent: False if no thread was free to send it; then it has not happened.
    """
    what = "did not end" if sent else "was not sent: no thread was free"
    return CallFailed(
        operation,
        "Overdue",
        f"{operation} {what} within {seconds:.0f} s.",
        retry=True,
        mayHaveHappened=sent,
    )


def notOpened(what: str, error: Exception, hosts: Sequence[str] = ()) -> CallFailed:
    """
    Return the error for a session or client that boto3 cannot make. boto3 looks for credentials
    then. If the network fails, a retry can help. Otherwise a setting is wrong.
    """
    from botocore import exceptions

    code = type(error).__name__
    network = (
        exceptions.ConnectionError,
        exceptions.HTTPClientError,
        exceptions.CredentialRetrievalError,
        exceptions.MetadataRetrievalError,
    )
    retry = isinstance(error, network)
    hint = _START_HINTS.get(code, "")
    if isinstance(error, exceptions.ProxyConnectionError):
        hint = _proxyHint(hosts)
    sentence = f"boto3 did not start: {_reason(error)}. {hint}".rstrip()
    return CallFailed(what, code, sentence, retry=retry, mayHaveHappened=False)


def _refused(operation: str, response: Reply) -> CallFailed:
    error = response.get("Error", {})
    code = str(error.get("Code", "unknown"))
    message = _reason(error.get("Message", "")) or "no reason given"
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400))
    failed = status >= 500
    what = "failed" if failed else "was refused"
    hint = _HINTS.get(code, "").format(operation=operation)
    sentence = f"{operation} {what}: {_shortCode(code)}: {message}. {hint}".rstrip()
    errorClass = _CLASSES.get(code, CallFailed)
    retry = (
        failed
        or status == 429
        or code in _THROTTLED | _TEMPORARY
        or errorClass is OutOfCapacityException
    )
    return errorClass(
        operation,
        _shortCode(code),
        sentence,
        retry=retry,
        mayHaveHappened=failed,
        label=code if code in ERROR_CODES else "other",
    )


def _shortCode(code: str) -> str:
    return printable(code, 100)


def _proxyHint(hosts: Sequence[str]) -> str:
    return _CHECK_PROXY.format(hosts=printable(",".join(hosts or [_METADATA_HOST])))


def _reason(text: object) -> str:
    """Return the text of another program as a part of a sentence, without secrets."""
    # Remove the user and password of URLs, and the signed request, which has the session token.
    line = " ".join(str(text).split())
    safe = re.sub(r"(?<=://)[^/@\s]+@", "", line).partition(" The Canonical String ")[0]
    return printable(safe.rstrip("."))
