"""A tree of metadata: its values, listings, and paths that are set."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.model.metadatatree import checkPath, pathsOf, setValues, valueAt

TREE: Any = {
    "meta-data": {"a": "1", "b": {"c": "2", "d": {"e": "3"}}, "keys": {"0=mine": {"key": "4"}}},
    "user-data": b"\xff",
}
_names = st.text("abc-:. ", min_size=1, max_size=4)


class ValueAtTests(SynchronousTestCase):
    """Values and listings."""

    def test_table(self) -> None:
        """Each path has its value, its listing, or nothing."""
        for path, expected in (
            ("", "meta-data\nuser-data"),
            ("meta-data", "a\nb/\nkeys/"),
            ("meta-data/", "a\nb/\nkeys/"),
            ("meta-data/a", "1"),
            ("meta-data/a/", "1"),
            ("meta-data/a//", None),
            ("meta-data/a/1", None),
            ("meta-data//a", None),
            ("meta-data/b", "c\nd/"),
            ("meta-data/b/d/e", "3"),
            ("meta-data/keys/", "0=mine"),
            ("meta-data/keys/0", "key"),
            ("meta-data/keys/0/key", "4"),
            ("meta-data/keys/1", None),
            ("user-data", b"\xff"),
            ("nothing", None),
        ):
            self.assertEqual(expected, valueAt(TREE, path.split("/")), path)

    def test_paths(self) -> None:
        """The paths are those of all values."""
        self.assertEqual(
            [
                "meta-data/a",
                "meta-data/b/c",
                "meta-data/b/d/e",
                "meta-data/keys/0/key",
                "user-data",
            ],
            pathsOf(TREE),
        )


class SetValuesTests(SynchronousTestCase):
    """Paths that are set."""

    def test_table(self) -> None:
        """A value replaces what is at its path; none removes it, and directories left empty."""
        for values, expected in (
            ({"a": "2"}, {"a": "2", "b": {"c": "2"}}),
            ({"n/m": "1"}, {"a": "1", "b": {"c": "2"}, "n": {"m": "1"}}),
            ({"a/x": "1"}, {"a": {"x": "1"}, "b": {"c": "2"}}),
            ({"b": "1"}, {"a": "1", "b": "1"}),
            ({"b": None}, {"a": "1"}),
            ({"b/c": None}, {"a": "1"}),
            ({"x/y": None}, {"a": "1", "b": {"c": "2"}}),
        ):
            tree: Any = {"a": "1", "b": {"c": "2"}}
            self.assertEqual(expected, setValues(tree, values), values)
            self.assertEqual({"a": "1", "b": {"c": "2"}}, tree)

    @given(st.lists(_names, min_size=1, max_size=5), st.text(max_size=5))
    def test_anyPath(self, path: list[str], value: str) -> None:
        """A value that is set is at its path, and gone when it is removed."""
        text = "/".join(path)
        checkPath(text)
        tree = setValues({}, {text: value})
        self.assertEqual(value, valueAt(tree, path))
        self.assertEqual([text], pathsOf(tree))
        self.assertEqual({}, setValues(tree, {text: None}))

    def test_wrongPaths(self) -> None:
        """A path has no empty segment and no control characters."""
        for path in ("", "/", "/a", "a/", "a//b", "a\n", "a/\x1bb", "a/" * 20 + "a", "a" * 300):
            error = self.assertRaises(ValueError, checkPath, path)
            self.assertIn("is not a path of metadata", str(error))
