"""
Run a command in a process group of its own, and end all its processes with it.

C{python subreaper.py COMMAND...} is the process between C{twistd fleetiq-wrap} and the command.
Descriptor 3 is a pipe from twistd. Each byte that arrives is the number of a signal, which is sent
to the process group. The end of the pipe means that twistd has exited: then all processes of the
command are killed. The subreaper exits as the command does: with its status, or by its signal.

It is a separate script, because it must run longer than twistd. It imports only the standard
library, and C{python -I -S} starts it in 10 ms.
"""

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys

CONTROL = 3
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP)


def main(command: list[str]) -> None:
    # Orphaned processes of the command become children of this process.
    _prctl(_SET_CHILD_SUBREAPER, 1)
    wakeRead, wakeWrite = os.pipe()
    for end in (wakeRead, wakeWrite):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wakeWrite)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in _IGNORED:  # a terminal sends them to all its processes; twistd handles them
        signal.signal(number, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        _execute(command)
    with contextlib.suppress(OSError):
        os.setpgid(child, child)
    for standard in (1, 2):
        os.close(standard)
    status = _wait(child, wakeRead)
    _killGroup(child, signal.SIGKILL)
    _killChildren()
    _exitAs(status)


def _execute(command: list[str]) -> None:
    """Execute the command in this process."""
    os.setpgid(0, 0)
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)
    os.close(CONTROL)
    signal.set_wakeup_fd(-1)
    for number in (*_IGNORED, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"Cannot run {command[0]!r}: {error.strerror}.\n".encode())
        os._exit(126 if isinstance(error, PermissionError) else 127)


def _wait(child: int, wake: int) -> int:
    """Wait until the command ends, and forward signals to it. Return its wait status."""
    control = [CONTROL]
    while True:
        readable, _, _ = select.select([wake, *control], [], [])
        if CONTROL in readable:
            requests = os.read(CONTROL, 64)
            if not requests:
                control = []
                _killGroup(child, signal.SIGKILL)
            for number in requests:
                _killGroup(child, number)
        if wake in readable:
            os.read(wake, 64)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 0
            if pid == child:
                return status
            if pid == 0:
                break


def _killGroup(group: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(group, number)


def _killChildren() -> None:
    """Kill the processes that left the group of the command, if the system lists them."""
    path = f"/proc/self/task/{os.getpid()}/children"
    while os.path.exists(path):
        with open(path, encoding="ascii") as children:
            pids = [int(pid) for pid in children.read().split()]
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _exitAs(status: int) -> None:
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        number = os.WTERMSIG(status)
        with contextlib.suppress(OSError):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


def _prctl(option: int, value: int) -> None:
    """Call prctl(2) on Linux. Other systems have no such calls."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
