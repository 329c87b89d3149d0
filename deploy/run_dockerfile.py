"""
Run the steps of deploy/docker/Dockerfile without Docker: C{.venv/bin/python deploy/run_dockerfile.py}.

It runs each RUN instruction of the first stage, with temporary folders for those of the container.
Then it starts the ENTRYPOINT with the CMD, waits until the HEALTHCHECK succeeds, and stops the
process. As root, it starts it as the USER, if that user can execute this Python.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parent.parent
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
INSTALLED = "/opt/fleetiq-echo"
# Seconds until the health check must have succeeded, and until the process must have ended.
DEADLINE = 60.0
_ATTEMPTS = 120


def instructions(name: str) -> list[str]:
    """Return the arguments of all instructions of this name."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE.read_text(), re.MULTILINE)


def command(name: str, folder: Path) -> list[str]:
    """Return the command of an instruction in JSON, with the folder of this installation."""
    [text] = instructions(name)
    words: list[str] = json.loads(text[text.index("[") :])
    return [word.replace(INSTALLED, str(folder)) for word in words]


def freePort() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def isHealthy(check: list[str]) -> bool:
    """Run the health check until it succeeds, or until the deadline."""
    for _ in range(_ATTEMPTS):
        if subprocess.run(check, check=False, capture_output=True).returncode == 0:
            return True
        subprocess.run(["sleep", str(DEADLINE / _ATTEMPTS)], check=True)
    return False


def build(source: Path, folder: Path) -> None:
    """Copy the clone without its untracked files, and run the RUN instructions."""
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    for name in files.stdout.decode().split("\0"):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    for step in instructions("RUN"):
        script = step.replace(INSTALLED, str(folder)).replace("/src", str(source))
        subprocess.run(["sh", "-euc", script], check=True, cwd="/")


def user() -> dict[str, Any]:
    """Return the arguments of Popen for the user of the container; none if this is not possible."""
    uid, gid = (int(each) for each in instructions("USER")[0].split(":"))
    assert uid != 0, "the user of the container is root"
    python = Path(sys.executable).resolve()
    isPublic = all(each.stat().st_mode & 0o001 for each in (python, *python.parents))
    return {"user": uid, "group": gid} if os.getuid() == 0 and isPublic else {}


def check(folder: Path, empty: Path) -> str:
    """Start, check and stop what is installed. Return a sentence."""
    ports = {"8080": freePort(), "5000": freePort(), "4570": freePort()}
    words = [*command("ENTRYPOINT", folder), *command("CMD", folder)]
    words = [word.replace("tcp:8080", f"tcp:{ports['8080']}") for word in words]
    words += ["--listen", f"tcp:{ports['5000']}"]
    words += ["--local", f"tcp:{ports['4570']}:interface=127.0.0.1"]
    healthCheck = [
        word.replace(":8080/", f":{ports['8080']}/") for word in command("HEALTHCHECK", folder)
    ]
    asUser = user()
    environ = {"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(words, cwd=empty, env=environ, **asUser)
    try:
        assert isHealthy(healthCheck), "the health check never succeeded"
        process.terminate()
        process.wait(DEADLINE)
    finally:
        process.kill()
    after = subprocess.run(healthCheck, check=False, capture_output=True)
    assert after.returncode == 1, "healthy after the end"
    assert not list(empty.iterdir()), "files were written"
    return f"as user {asUser['user']}" if asUser else "but not as another user"


def main() -> None:
    with TemporaryDirectory(prefix="fleetiq-image-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for each in ("src", "opt", "empty"):
            (folder / each).mkdir()
        build(folder / "src", folder / "opt")
        how = check(folder / "opt", folder / "empty")
    sys.stdout.write(f"The steps of the Dockerfile work, {how}.\n")


if __name__ == "__main__":
    main()
