"""
Check that a test fails for each small change of the most critical modules: C{make mutants}.

Cosmic Ray changes one thing at a time (an operator, a number, a keyword, a decorator) in a copy of
the project below build/, and runs the tests of the module. mutants.md must list each mutant that
survives, with the reason, and no other mutant. Otherwise the exit code is 1. Takes 10 to 25
minutes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build"
LIST = Path(__file__).with_name("mutants.md")
# The modules, each with the excluded operators. Where "|" joins only types, another operator
# raises when it is executed, and an annotation is never executed.
UNIONS = "core/ReplaceBinaryOperator_BitOr_.*"
MODULES = {"game/session": [UNIONS], "gamelift/lifecycle": [UNIONS], "gamelift/errors": []}


def mutate(module: str) -> list[tuple[str, str]]:
    """Run all mutants of a module. Return the outcome and the changed lines of each."""
    copy = BUILD / "mutants" / module
    shutil.rmtree(copy, ignore_errors=True)
    for package in ("echoserver", "tests"):
        shutil.copytree(
            ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    # In the order of the file, which has the slow tests last.
    package, name = module.split("/")
    tests = f"{sys.executable} -m twisted.trial -x --order toptobottom tests.{package}.test_{name}"
    (copy / "mutants.toml").write_text(
        "[cosmic-ray]\n"
        f'module-path = "echoserver/{module}.py"\ntimeout = 60.0\nexcluded-modules = []\n'
        f"test-command = {json.dumps(tests)}\n"
        '[cosmic-ray.distributor]\nname = "local"\n'
        "[cosmic-ray.filters.operators-filter]\n"
        f"exclude-operators = {json.dumps(MODULES[module])}\n"
    )

    def cosmicRay(program: str, *arguments: str) -> str:
        command = [str(BUILD / "cosmic-ray" / "bin" / program), *arguments]
        # With CI set, Hypothesis uses the same examples in each run.
        environment = {**os.environ, "CI": "true"}
        return subprocess.run(
            command, cwd=copy, env=environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    cosmicRay("cosmic-ray", "init", "mutants.toml", "mutants.sqlite")
    cosmicRay("cr-filter-operators", "mutants.sqlite", "mutants.toml")
    cosmicRay("cosmic-ray", "baseline", "mutants.toml")
    cosmicRay("cosmic-ray", "exec", "mutants.toml", "mutants.sqlite")
    results = [
        json.loads(line)[1]
        for line in cosmicRay("cosmic-ray", "dump", "mutants.sqlite").splitlines()
    ]
    tried = [result for result in results if result["worker_outcome"] != "skipped"]
    return [(result["test_outcome"], changed(result["diff"])) for result in tried]


def changed(diff: str) -> str:
    """Return the changed lines of a diff."""
    lines = diff.splitlines()
    begin = next(at for at, line in enumerate(lines) if line.startswith("@@"))
    return "\n".join(line for line in lines[begin:] if line.startswith(("-", "+")))


def listed(module: str) -> Iterator[str]:
    """Return each mutant of a module that mutants.md lists."""
    _, _, section = LIST.read_text().partition(f"\n## {module}\n")
    section, _, _ = section.partition("\n## ")
    for block in section.split("```diff\n")[1:]:
        yield from block.partition("\n```")[0].split("\n\n")


def main(modules: list[str]) -> int:
    """Run the mutants of the modules, by default all. Print the result, return the exit code."""
    agree = True
    for module in modules or MODULES:
        outcomes = mutate(module)
        survivors = {lines for outcome, lines in outcomes if outcome != "killed"}
        known = set(listed(module))
        killed = sum(outcome == "killed" for outcome, _ in outcomes)
        sys.stdout.write(f"{module}: {len(outcomes)} mutants, {killed} killed\n")
        for problem, mutants in (
            ("survived, but is not in mutants.md", survivors - known),
            ("did not survive, but is in mutants.md", known - survivors),
        ):
            for lines in sorted(mutants):
                agree = False
                sys.stdout.write(f"{module}: {problem}:\n{lines}\n\n")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
