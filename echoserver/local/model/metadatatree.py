"""Pure: a tree of metadata: values, listings, and paths that are set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

LATEST = "latest"
# The versions that EC2 lists at /, and 2020-08-24, which its documentation names.
METADATA_VERSIONS = (
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2011-05-01",
    "2012-01-12",
    "2014-02-25",
    "2014-11-05",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2016-09-02",
    "2018-03-28",
    "2018-08-17",
    "2018-09-24",
    "2019-10-01",
    "2020-08-24",
    "2020-10-27",
    "2021-01-03",
    "2021-03-23",
    "2021-07-15",
    "2022-07-09",
    "2022-09-24",
    LATEST,
)

# The value at a path, or the names below it. User data may be any bytes.
Tree = Mapping[str, "str | bytes | Tree"]
Node = str | bytes | Tree
# EC2 lists public keys by number and name, but their paths have the number only.
KEY_SEPARATOR = "="

_PATH = re.compile(r"[^/\x00-\x1f\x7f]{1,255}(/[^/\x00-\x1f\x7f]{1,255}){0,9}")
LONGEST_VALUE = 16384


def valueAt(tree: Tree, path: list[str]) -> str | bytes | None:
    """
    Return the value at a path, or the listing of one level; C{None} if there is nothing. As on EC2,
    a trailing slash changes neither.

    @param path: the segments below the version. An empty last segment is a trailing slash.
    """
    segments = path[:-1] if path and path[-1] == "" else path
    node: Node = tree
    for segment in segments:
        child = None if isinstance(node, str | bytes) else _child(node, segment)
        if child is None:
            return None
        node = child
    if isinstance(node, str | bytes):
        return node
    # Only the first level has no slashes in its listing.
    mark = "/" if segments else ""
    return "\n".join(
        name if isinstance(child, str | bytes) or KEY_SEPARATOR in name else name + mark
        for name, child in sorted(node.items())
    )


def pathsOf(tree: Tree) -> list[str]:
    """Return the paths of all values, sorted."""
    paths = []
    for name, child in sorted(tree.items()):
        if isinstance(child, str | bytes):
            paths.append(name)
        else:
            paths += [f"{name.partition(KEY_SEPARATOR)[0]}/{path}" for path in pathsOf(child)]
    return paths


def checkPath(path: str) -> None:
    """
    @raise ValueError: with a sentence, if the path cannot be one of metadata.
    """
    if not _PATH.fullmatch(path):
        raise ValueError(
            f"{path[:60]!r} is not a path of metadata: it must be one such as tags/instance/Name, "
            "relative to meta-data/, without a slash at either end."
        )


def setValues(tree: Tree, values: Mapping[str, str | None]) -> Tree:
    """
    Return the tree with other values.

    @param values: by path; C{None} removes what is at the path, with what is below it.
    """
    for path, value in values.items():
        tree = _set(tree, path.split("/"), value)
    return tree


def _set(tree: Tree, path: list[str], value: str | None) -> Tree:
    name, *rest = path
    after: dict[str, Any] = dict(tree)
    if not rest:
        if value is None:
            after.pop(name, None)
        else:
            after[name] = value
        return after
    before = after.get(name)
    below = _set({} if before is None or isinstance(before, str | bytes) else before, rest, value)
    # EC2 does not list empty directories.
    if below:
        after[name] = below
    else:
        after.pop(name, None)
    return after


def _child(tree: Tree, segment: str) -> Node | None:
    if segment in tree:
        return tree[segment]
    prefix = segment + KEY_SEPARATOR
    return next((tree[name] for name in tree if segment and name.startswith(prefix)), None)
