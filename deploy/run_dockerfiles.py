"""
Run the steps of the Dockerfiles without Docker: C{.venv/bin/python deploy/run_dockerfiles.py}.

For each Dockerfile in deploy/, it runs the RUN instructions, with temporary folders for those of
the container. Then it starts the program of ENTRYPOINT and CMD on free ports, waits until the
HEALTHCHECK succeeds, and stops it. As root it starts it as the USER, if that user can execute this
Python.
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
DOCKERFILES = ("local", "docker")
PORTS = ("4570", "5000", "8080")
# Seconds until a health check must have succeeded, and until the program must have ended.
DEADLINE = 60.0
_ATTEMPTS = 120


class Dockerfile:
    """
    A Dockerfile, and the folders that stand for those of the container.

    @ivar installed: stands for the folder that the last stage copies from the first one.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        self._text = path.read_text()
        self.installed = folder / "installed"
        self._source = folder / "source"
        self._ports = {port: freePort() for port in PORTS}

    def instructions(self, name: str) -> list[str]:
        """Return the arguments of all instructions of this name."""
        return re.findall(rf"^{name} (.*)$", self._text, re.MULTILINE)

    def build(self) -> None:
        """Copy the files of the clone that git has, and run the RUN instructions."""
        files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
        for name in files.stdout.decode().split("\0"):
            if (ROOT / name).is_file():
                (self._source / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, self._source / name)
        [installed] = self.instructions("COPY --from=build \\S+")
        for step in self.instructions("RUN"):
            script = step.replace(installed, str(self.installed)).replace("/src", str(self._source))
            subprocess.run(["sh", "-euc", script], check=True, cwd="/")

    def command(self, name: str) -> list[str]:
        """Return the command of an instruction, with the folder and the ports of this run."""
        [installed] = self.instructions("COPY --from=build \\S+")
        words: list[str] = []
        for text in self.instructions(name):
            words += json.loads(text[text.index("[") :])
        numbers = "|".join(PORTS)
        return [
            re.sub(
                rf"\b({numbers})\b",
                lambda match: self._ports[match[1]],
                word.replace(installed, str(self.installed)),
            )
            for word in words
        ]

    def user(self) -> dict[str, Any]:
        """Return the arguments of Popen for the USER; none if this process cannot become it."""
        uid, gid = (int(each) for each in self.instructions("USER")[-1].split(":"))
        assert uid != 0, "the user of the container is root"
        python = (self.installed / "bin" / "python").resolve()
        isPublic = all(each.stat().st_mode & 0o001 for each in (python, *python.parents))
        return {"user": uid, "group": gid} if os.getuid() == 0 and isPublic else {}


def freePort() -> str:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def isHealthy(check: list[str]) -> bool:
    """Run the health check until it succeeds, or until the deadline."""
    for _ in range(_ATTEMPTS):
        if subprocess.run(check, check=False, capture_output=True).returncode == 0:
            return True
        subprocess.run(["sleep", str(DEADLINE / _ATTEMPTS)], check=True)
    return False


def run(path: Path, folder: Path) -> str:
    """Build, start, check and stop a container's program. Return a sentence."""
    dockerfile = Dockerfile(path, folder)
    dockerfile.build()
    empty = folder / "empty"
    empty.mkdir()
    healthCheck = dockerfile.command("HEALTHCHECK")
    user = dockerfile.user()
    process = subprocess.Popen(
        [*dockerfile.command("ENTRYPOINT"), *dockerfile.command("CMD")], cwd=empty, **user
    )
    try:
        assert isHealthy(healthCheck), "the health check never succeeded"
        process.terminate()
        process.wait(DEADLINE)
    finally:
        process.kill()
    after = subprocess.run(healthCheck, check=False, capture_output=True)
    assert after.returncode == 1, "healthy after the end"
    assert not list(empty.iterdir()), "files were written"
    files = [each for each in dockerfile.installed.rglob("*") if each.is_file()]
    return (
        f"The steps of {path.relative_to(ROOT)} work, {'' if user else 'not tried '}as its user; "
        f"{sum(each.stat().st_size for each in files) / 1e6:.0f} MB are installed."
    )


def main() -> None:
    for name in DOCKERFILES:
        with TemporaryDirectory(prefix="fleetiq-image-") as folder:
            os.chmod(folder, 0o755)
            sentence = run(ROOT / "deploy" / name / "Dockerfile", Path(folder))
        sys.stdout.write(f"{sentence}\n")


if __name__ == "__main__":
    main()
