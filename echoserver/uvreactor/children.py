"""
Detect the end of child processes without SIGCHLD.

While a child of C{asyncio.create_subprocess_exec} runs, libuv has its own handler of SIGCHLD. After
that it sets the default action. So a handler that was set in Python is lost. Therefore each child
of C{spawnProcess} is watched through its pidfd (Linux 5.3), or otherwise checked every 0.1 s.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from twisted.internet.process import reapProcessHandlers

CHECK_INTERVAL = 0.1


class ChildWatcher:
    """
    Reaps the children of C{spawnProcess} when they end. Use it on the reactor thread.

    @param loop: the loop that polls the descriptors. Nothing happens while it does not run.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._checked: dict[int, Any] = {}

    def watch(self, process: Any) -> None:
        """
        Call C{process.reapProcess} when the child ends.

        @param process: what C{spawnProcess} returned.
        """
        pid = process.pid
        if not _isRegistered(pid, process):
            return  # it has ended, and is reaped
        try:
            descriptor = os.pidfd_open(pid)
        except (AttributeError, OSError):
            # The platform or the sandbox has no pidfd, or no descriptor is free.
            self._checked[pid] = process
            if len(self._checked) == 1:
                self._loop.call_later(CHECK_INTERVAL, self._check)
        else:
            self._loop.add_reader(descriptor, self._ended, descriptor, pid, process)

    def _ended(self, descriptor: int, pid: int, process: Any) -> None:
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
        if _isRegistered(pid, process):
            process.reapProcess()

    def _check(self) -> None:
        for pid, process in list(self._checked.items()):
            if _isRegistered(pid, process):
                process.reapProcess()
            if not _isRegistered(pid, process):
                del self._checked[pid]
        if self._checked:
            self._loop.call_later(CHECK_INTERVAL, self._check)


def _isRegistered(pid: int | None, process: Any) -> bool:
    """Return whether the child of this id has not been reaped."""
    return pid is not None and reapProcessHandlers.get(pid) is process
