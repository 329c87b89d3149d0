"""The replies of the controls of a local FleetIQ: which members they have, of which types."""

from __future__ import annotations

from typing import Any

# A value of a type; None or a value of a type; a list of values; an object with at least these
# members, where a name that ends with a question mark may be missing.
Shape = type | tuple[type, ...] | list[Any] | dict[str, Any]

# The dates of Python end with the year 9999.
_LATEST = 253402300799.0

_OPTIONAL_TEXT = (str, type(None))
_OPTIONAL_NUMBER = (float, type(None))
_GAME_SERVER = {
    "GameServerGroupName": str,
    "GameServerId": str,
    "InstanceId": str,
    "ConnectionInfo?": _OPTIONAL_TEXT,
    "GameServerData?": _OPTIONAL_TEXT,
    "UtilizationStatus": str,
    "ClaimStatus?": _OPTIONAL_TEXT,
    "RegistrationTime?": _OPTIONAL_NUMBER,
    "LastHealthCheckTime?": _OPTIONAL_NUMBER,
    "LastClaimTime?": _OPTIONAL_NUMBER,
}
_FAULT = {
    "id": str,
    "kind": str,
    "operation": str,
    "seconds": _OPTIONAL_NUMBER,
    "code": _OPTIONAL_TEXT,
    "probability": float,
    "count": _OPTIONAL_NUMBER,
}
_ENTRY = {
    "time": float,
    "event": str,
    "sentence?": str,
    "operation?": _OPTIONAL_TEXT,
    "outcome?": str,
    "seconds?": float,
    "caller?": str,
    "GameServerId?": _OPTIONAL_TEXT,
    "InstanceId?": _OPTIONAL_TEXT,
    "GameServerGroupName?": _OPTIONAL_TEXT,
}
_CLOCK = {"now": float, "timeScale": float}

# By the control.
SHAPES: dict[str, Shape] = {
    "clock": _CLOCK,
    "events": _ENTRY,
    "faults": {"id?": str},
    "interrupt": {
        "InstanceId": str,
        "InstanceStatus": str,
        "kind": str,
        "end?": _OPTIONAL_NUMBER,
    },
    "journal": {"entries": [_ENTRY], "forgotten": float},
    "reset": {},
    "state": {
        **_CLOCK,
        "groups": [{"GameServerGroupName": str, "Status": str}],
        "instances": [{"InstanceId": str, "InstanceStatus": str, "GameServerGroupName": str}],
        "gameServers": [_GAME_SERVER],
        "faults": [_FAULT],
        "calls": dict,
    },
}


def wrongPart(value: Any, shape: Shape, path: str = "") -> str:
    """Return what is wrong with a value, or an empty text."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"{path or 'it'} is not an object"
        prefix = f"{path}." if path else ""
        for name, member in shape.items():
            bare = name.removesuffix("?")
            if bare in value:
                if problem := wrongPart(value[bare], member, f"{prefix}{bare}"):
                    return problem
            elif bare == name:
                return f"{prefix}{name} is missing"
        return ""
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{path} is not a list"
        parts = (wrongPart(item, shape[0], f"{path}[{i}]") for i, item in enumerate(value))
        return next(filter(None, parts), "")
    types = shape if isinstance(shape, tuple) else (shape,)
    return "" if any(_isA(each, value) for each in types) else f"{path} is {value!a:.40}"


def _isA(kind: type, value: Any) -> bool:
    if kind is float:
        isNumber = isinstance(value, int | float) and not isinstance(value, bool)
        return isNumber and -_LATEST / 4 <= value <= _LATEST
    return isinstance(value, kind)
