"""Pure: one Twisted endpoint description for each game server of a process."""

from __future__ import annotations

import re

ACCEPT_QUEUE = 4096
# Where backlog stands when a description of the kind names no keys.
_KINDS = {"tcp": 2, "tcp6": 2, "ssl": 5}
_WRAPPER = "haproxy:"


def descriptions(listen: str, servers: int) -> list[str]:
    """
    Consecutive ports for C{tcp:}, C{tcp6:}, C{ssl:}, and C{haproxy:} before these, with an accept
    queue that takes a crowd at once unless the description says otherwise; others stay as they are.

    @param listen: a server endpoint description; port 0 is any, for each.
    @raise ValueError: with a sentence.
    """
    wrapper = _WRAPPER if listen.startswith(_WRAPPER) else ""
    kind, *words = _words(listen[len(wrapper) :])
    if kind == "stdio":
        raise ValueError("'stdio:' has one player at most: write for instance tcp:5000.")
    if kind not in _KINDS:
        if servers > 1:
            raise ValueError(
                f"'{listen}' has no consecutive ports for {servers} servers:"
                " use tcp:, tcp6: or ssl:, with haproxy: before it if you like."
            )
        return [listen]
    # As Twisted reads it: named, or else the first word that has no name.
    named = (i for i, word in enumerate(words) if "=" not in word or word.startswith("port="))
    at = next(named, 0)
    word = words[at] if words else ""
    prefix = "port=" if word.startswith("port=") else ""
    number = word[len(prefix) :]
    first = int(number) if re.fullmatch("[0-9]{1,5}", number) else -1
    last = first + servers - 1 if first else 0
    if first < 0 or last > 65535:
        whose = f"s for {servers} servers" if servers > 1 else ""
        raise ValueError(
            f"'{listen}' has no port{whose} from 0 to 65535:"
            f" write for instance {wrapper}{kind}:5000."
        )
    positional = sum("=" not in word for word in words)
    if positional <= _KINDS[kind] and not any(word.startswith("backlog=") for word in words):
        words.append(f"backlog={ACCEPT_QUEUE}")
    ports = [first + i if first else 0 for i in range(servers)]
    return [
        wrapper + ":".join([kind, *words[:at], f"{prefix}{port}", *words[at + 1 :]])
        for port in ports
    ]


def _words(description: str) -> list[str]:
    r"""Split at the colons that no backslash escapes."""
    return re.findall(r"((?:\\.|[^:\\])*):", description + ":")
