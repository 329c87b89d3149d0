"""Pure: values of metadata that were set, for all instances and for single ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from echoserver.local.model.instancemetadata import treeOf
from echoserver.local.model.metadatatree import LONGEST_VALUE, Tree, checkPath
from echoserver.local.model.values import Instance, checkNames, quoted, textOf

# Of an order to set values.
_FIELDS = ("InstanceId", "values", "userData")
Values = Mapping[str, str | None]


class MetadataValues:
    """
    What the metadata of instances has, besides what their state gives. Values of one instance
    replace those of all instances.
    """

    def __init__(self, values: Values | None = None, userData: bytes | None = None) -> None:
        """
        @param values: those of all instances at the start, by path below C{meta-data/}.
        @param userData: that of all instances at the start; C{None} if they have none.
        """
        self._atStart = dict(values or {}), userData
        self.reset()

    def reset(self) -> None:
        """Restore the values at the start."""
        self._values: dict[str | None, dict[str, str | None]] = {None: dict(self._atStart[0])}
        self._userData: dict[str | None, bytes | None] = {None: self._atStart[1]}

    def set(self, body: Mapping[str, Any]) -> str | None:
        """
        Set the values that a control's body has.

        @return: the instance; C{None} if they are for all.
        @raise ValueError: with a sentence, if the body is wrong. Then nothing is set.
        """
        checkNames(body, "values of metadata", _FIELDS)
        instanceId, userData = textOf(body, "InstanceId"), textOf(body, "userData")
        values = body.get("values", {})
        if not isinstance(values, dict) or not (values or "userData" in body):
            raise ValueError(
                f"values is {quoted(values)}: it must be an object of paths below meta-data/ and "
                'their values, such as {"tags/instance/Name": "one"}.'
            )
        for path, value in values.items():
            checkValue(path, value)
        if userData is not None:
            _checkText("userData", userData)
        self._values.setdefault(instanceId, {}).update(values)
        if "userData" in body:
            self._userData[instanceId] = None if userData is None else userData.encode()
        return instanceId

    def treeOf(self, instance: Instance, now: float) -> Tree:
        """Return the metadata of an instance, with the values that were set."""
        own = instance.instanceId
        values = {**self._values[None], **self._values.get(own, {})}
        return treeOf(instance, now, values, self._userData.get(own, self._userData[None]))


def checkValue(path: str, value: object) -> None:
    """
    @param value: text, or C{None} to remove what is at the path.
    @raise ValueError: with a sentence, if they cannot be set.
    """
    checkPath(path)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{path} is {quoted(value)}: it must be a string, or null for none.")
    if value is not None:
        _checkText(path, value)


def _checkText(name: str, value: str) -> None:
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{name} has half of a surrogate pair: it must be Unicode text.") from None
    if size > LONGEST_VALUE:
        raise ValueError(f"{name} has {size} bytes: at most {LONGEST_VALUE} are allowed.")


def readAssignment(assignment: str) -> tuple[str, str]:
    """
    Return the path and the value of C{KEY=VALUE}.

    @raise ValueError: with a sentence, if it has another form.
    """
    path, separator, value = assignment.partition("=")
    if not separator:
        raise ValueError(f"{quoted(assignment)}: it must be KEY=VALUE, such as ami-id=ami-1.")
    checkValue(path, value)
    return path, value
