"""What a failed call to FleetIQ means: whether to retry it, and whether it may have happened."""

from __future__ import annotations

import re
from typing import Any

Reply = dict[str, Any]

# GameLift's quota error, LimitExceededException, is among them as in botocore: capacity comes back.
_THROTTLED = {
    "LimitExceededException",
    "RequestLimitExceeded",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
# The chain renews credentials by itself, and a slow request may be quick the next time.
_PASSING = {"ExpiredToken", "ExpiredTokenException", "RequestTimeout", "RequestTimeoutException"}
_ALLOW = "Allow gamelift:{operation} on the group to this role or user."
_CHECK_KEYS = "Check AWS_PROFILE, the variables, or the instance profile."
_CURES = {
    "AccessDenied": _ALLOW,
    "AccessDeniedException": _ALLOW,
    "ExpiredTokenException": "Renew the credentials; an instance profile's renew themselves.",
    "InvalidClientTokenId": _CHECK_KEYS,
    "InvalidSignatureException": "Check the secret key, and this machine's clock.",
    "RequestExpired": "Check this machine's clock.",
    "UnauthorizedException": _ALLOW,
    "UnrecognizedClientException": _CHECK_KEYS,
}
_NO_CREDENTIALS = (
    "Attach an instance profile, set AWS_PROFILE or AWS_ACCESS_KEY_ID, or run 'aws configure'."
)
_NOT_REACHED = "Check the region or the endpoint's URL, and this machine's network."
# What keeps boto3 from starting, by the name of its exception.
_START_CURES = {
    "NoRegionError": "Give --region, or set AWS_REGION.",
    "ProfileNotFound": "Name another in AWS_PROFILE, or unset it.",
    "ValueError": "Check AWS_ENDPOINT_URL_GAMELIFT and the region.",
}
_LONGEST_REASON = 300


class CallFailed(Exception):
    """
    A call that brought no reply to use.

    @ivar code: AWS's error code, or the name of botocore's exception.
    @ivar retry: whether the same call may succeed later, without anybody mending something first.
    @ivar mayHaveHappened: whether FleetIQ may have carried it out all the same.
    """

    def __init__(
        self, operation: str, code: str, sentence: str, *, retry: bool, mayHaveHappened: bool
    ) -> None:
        super().__init__(sentence)
        self.operation = operation
        self.code = code
        self.retry = retry
        self.mayHaveHappened = mayHaveHappened


class NotFoundException(CallFailed):
    """The group or the game server is not there. Repeating does not help."""


class ConflictException(CallFailed):
    """The id is taken, or the server asked for is claimed: until its claim lapses, or for good."""


class OutOfCapacityException(CallFailed):
    """No game server is free to claim now. Repeating helps when one becomes free."""


_KINDS: dict[str, type[CallFailed]] = {
    "NotFoundException": NotFoundException,
    "ConflictException": ConflictException,
    "OutOfCapacityException": OutOfCapacityException,
}


def translate(operation: str, error: Exception) -> CallFailed:
    """What an exception of a call means: which L{CallFailed} it is."""
    from botocore import exceptions as said

    code = type(error).__name__
    why = _oneLine(str(error))
    retry = mayHaveHappened = False
    match error:
        case said.ClientError():
            return _refused(operation, error.response)
        case said.NoCredentialsError() | said.PartialCredentialsError():
            sentence = f"{operation} was not sent: {why}. {_NO_CREDENTIALS}"
        case (
            said.EndpointConnectionError()
            | said.ConnectTimeoutError()
            | said.ProxyConnectionError()
        ):
            sentence, retry = f"{operation} was not sent: {why}. {_NOT_REACHED}", True
        case said.CredentialRetrievalError() | said.MetadataRetrievalError():
            sentence, retry = f"{operation} was not sent: {why}.", True
        case said.HTTPClientError() | said.SSLError():
            sentence, retry, mayHaveHappened = f"{operation} failed: {why}.", True, True
        case said.BotoCoreError():
            sentence = f"{operation} was not sent: {why}."
        case _:
            # Whatever else went wrong, went wrong with a reply that had come.
            return unreadable(operation, _oneLine(repr(error)))
    return CallFailed(operation, code, sentence, retry=retry, mayHaveHappened=mayHaveHappened)


def unreadable(operation: str, why: str) -> CallFailed:
    """A reply came, but it does not say what it should."""
    sentence = f"{operation} brought an unreadable reply: {why}."
    return CallFailed(operation, "unreadable", sentence, retry=True, mayHaveHappened=True)


def overdue(operation: str, seconds: float, *, sent: bool) -> CallFailed:
    """
    It did not end in time: the reply drips, or it is still waiting for a thread.

    @param sent: whether it has got one.
    """
    what = "did not end" if sent else "was not sent: no thread was free"
    return CallFailed(
        operation,
        "Overdue",
        f"{operation} {what} within {seconds:.0f} s.",
        retry=True,
        mayHaveHappened=sent,
    )


def notOpened(what: str, error: Exception) -> CallFailed:
    """What keeps boto3 from starting: a setting, so that repeating does not help."""
    code = type(error).__name__
    sentence = f"boto3 did not start: {_oneLine(str(error))}. {_START_CURES.get(code, '')}".rstrip()
    return CallFailed(what, code, sentence, retry=False, mayHaveHappened=False)


def _refused(operation: str, response: Reply) -> CallFailed:
    code = str(response.get("Error", {}).get("Code", "unknown"))
    message = _oneLine(str(response.get("Error", {}).get("Message", ""))) or "no reason given"
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400))
    failed = status >= 500
    what = "failed" if failed else "was refused"
    cure = _CURES.get(code, "").format(operation=operation)
    sentence = f"{operation} {what}: {code}: {message}. {cure}".rstrip()
    kind = _KINDS.get(code, CallFailed)
    retry = (
        failed or status == 429 or code in _THROTTLED | _PASSING or kind is OutOfCapacityException
    )
    return kind(operation, code, sentence, retry=retry, mayHaveHappened=failed)


def _oneLine(said: str) -> str:
    """What a stranger said, fit for a sentence of ours: a proxy may answer with a whole page."""
    line = " ".join(said.split())
    # A user and a password in a URL; what was signed, a session's token with it.
    line = re.sub(r"(?<=://)[^/@\s]+@", "", line).partition(" The Canonical String ")[0].rstrip(".")
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}..."
