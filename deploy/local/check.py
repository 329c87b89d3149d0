"""
Check the steps of the Dockerfile without Docker: C{.venv/bin/python deploy/local/check.py}.

It builds into a temporary folder, starts the entry point, and runs the health check before and
after the end. As root it starts as the user of the Dockerfile, if that user can run this Python.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

HERE = Path(__file__).parent
CLONE = HERE.parent.parent
INSTALLED = "/opt/fleetiq"
# Seconds until a health check must have succeeded, and the process have ended.
DEADLINE = 30.0
_ATTEMPTS = 60


def instruction(name: str) -> str:
    """Return the last instruction of this name in the Dockerfile."""
    text = (HERE / "Dockerfile").read_text()
    return re.findall(rf"^{name} (.*)$", text, re.MULTILINE)[-1]  # type: ignore[no-any-return]


def command(text: str, folder: str) -> list[str]:
    """Return the command of an instruction in JSON, with the folder of this installation."""
    words: list[str] = json.loads(text[text.index("[") :])
    return [word.replace(INSTALLED, folder) for word in words]


def freePort() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def isHealthy(check: list[str], seconds: float) -> bool:
    """Run the health check until it succeeds, for this long."""
    for _ in range(_ATTEMPTS):
        if subprocess.run(check, check=False, capture_output=True).returncode == 0:
            return True
        try:
            # Wait without sleep: this process ends if the parent of the check is stopped.
            subprocess.run(["tail", "-f", os.devnull], timeout=seconds / _ATTEMPTS, check=False)
        except subprocess.TimeoutExpired:
            continue
    return False


def main() -> None:
    folder = mkdtemp(prefix="fleetiq-local-")
    os.chmod(folder, 0o755)
    empty = Path(mkdtemp(prefix="fleetiq-empty-"))
    try:
        subprocess.run(["sh", HERE / "build.sh", CLONE, folder], check=True)
        check(folder, empty)
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(empty)


def check(folder: str, empty: Path) -> None:
    """Start, check and stop what is installed in a folder."""
    port = freePort()
    listen = ["--listen", f"tcp:{port}:interface=127.0.0.1"]
    healthCheck = [*command(instruction("HEALTHCHECK"), folder), f"http://127.0.0.1:{port}"]
    user, group = map(int, instruction("USER").split(":"))
    assert user != 0, "the user of the container is root"
    python = Path(folder, "bin/python").resolve()
    isPublic = all(each.stat().st_mode & 0o001 for each in (python, *python.parents))
    canChange = os.getuid() == 0 and isPublic
    asUser: dict[str, Any] = {"user": user, "group": group} if canChange else {}
    empty.chmod(0o755)
    process = subprocess.Popen(
        [*command(instruction("ENTRYPOINT"), folder), *listen], cwd=empty, **asUser
    )
    try:
        assert isHealthy(healthCheck, DEADLINE), "the health check never succeeded"
        process.terminate()
        process.wait(DEADLINE)
    finally:
        process.kill()
    after = subprocess.run(healthCheck, check=False, capture_output=True)
    assert after.returncode == 1, "healthy after the end"
    assert not list(empty.iterdir()), "files were written"
    size = sum(each.stat().st_size for each in Path(folder).rglob("*") if each.is_file())
    sys.stdout.write(
        f"The container's steps work, {'' if canChange else 'not tried '}as user {user}; "
        f"{size / 1e6:.0f} MB are installed.\n"
    )


if __name__ == "__main__":
    main()
