"""The page in Chromium with 1,000 game servers: its first paint, and its CPU time under load."""

from __future__ import annotations

import json
import os
import shutil
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from threading import Event
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

from benchmarks.figures import Goal, Result, spread
from benchmarks.processes import fleetiqLocal

SERVERS = 1000
INSTANCES = 50
EVENTS_A_SECOND = 100
# Records when the last tile has been added.
_WATCH = (
    f"const SERVERS = {SERVERS};"
    """
    new MutationObserver((_, observer) => {
        if (document.getElementsByClassName("tile").length < SERVERS) return;
        observer.disconnect();
        requestAnimationFrame(() => setTimeout(() => { window.complete = performance.now(); }));
    }).observe(document, {childList: true, subtree: true});
"""
)
_PAINT = "return performance.getEntriesByName('first-contentful-paint')[0].startTime"


def measure(full: bool) -> Result:
    """Take half a minute, or two minutes."""
    rounds, seconds = (10, 60) if full else (5, 15)
    first, complete = [], []
    with fleetiqLocal(f"--instances={INSTANCES}") as fleet:
        api = _API(fleet.url)
        api.register(SERVERS)
        browser = _browser()
        try:
            for _ in range(rounds):
                browser.get(f"{fleet.url}/")
                wait = WebDriverWait(browser, 20, poll_frequency=0.1)
                complete.append(
                    wait.until(lambda each: each.execute_script("return window.complete"))
                )
                first.append(browser.execute_script(_PAINT))
            root = browser.service.process.pid
            idle = _load(root, seconds, None)
            busy = _load(root, seconds, api)
        finally:
            browser.quit()
    rows = [
        ["first contentful paint, ms", spread(first, "{:.0f}")],
        [f"all {SERVERS} game servers shown, ms", spread(complete, "{:.0f}")],
        ["CPU of Chromium without events, % of a core", f"{idle:.1f}"],
        [f"CPU of Chromium with {EVENTS_A_SECOND} events a second, % of a core", f"{busy:.1f}"],
    ]
    return Result(
        title="The page of the local FleetIQ",
        method=f"Headless Chromium, {SERVERS} game servers on {INSTANCES} instances; the CPU time "
        "is that of all processes of Chromium.",
        columns=("", ""),
        rows=rows,
        data={"first": first, "complete": complete, "idle": idle, "busy": busy},
        goals=[
            Goal("first paint", median(first), 1000, most=True, unit=" ms"),
            Goal("CPU under load", busy, 25, most=True, unit=" %"),
        ],
    )


class _API:
    """Calls the local FleetIQ over one connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = HTTPConnection(parts.hostname or "", parts.port)
        self._number = 0
        self._connection.request("GET", "/_local/state")
        state = json.loads(self._connection.getresponse().read())
        self._instances = [each["InstanceId"] for each in state["instances"]]

    def register(self, count: int) -> None:
        for number in range(count):
            self._call(
                "RegisterGameServer",
                GameServerId=f"srv-{number}",
                InstanceId=self._instances[number % INSTANCES],
                ConnectionInfo=f"127.0.0.1:{5000 + number}",
            )

    def next(self) -> None:
        """Cause one event: a game server goes through its states, one after the other."""
        name = f"srv-{self._number // 4 % SERVERS}"
        step = self._number % 4
        self._number += 1
        if step == 0:
            self._call("ClaimGameServer", GameServerId=name)
        elif step == 1:
            self._call("UpdateGameServer", GameServerId=name, UtilizationStatus="UTILIZED")
        elif step == 2:
            self._call("DeregisterGameServer", GameServerId=name)
        else:
            self._call(
                "RegisterGameServer",
                GameServerId=name,
                InstanceId=self._instances[int(name[4:]) % INSTANCES],
            )

    def _call(self, operation: str, **members: Any) -> None:
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"GameLift.{operation}",
        }
        body = json.dumps({"GameServerGroupName": "local", **members})
        self._connection.request("POST", "/", body, headers)
        response = self._connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise AssertionError(f"{operation} {members}: {response.status} {text!r}")


def _browser() -> Chrome:
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1440,900"):
        options.add_argument(argument)
    browser = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _WATCH})
    return browser


def _load(root: int, seconds: float, api: _API | None) -> float:
    """Return the CPU time of the browser, in % of a core, with or without events."""
    pause = Event()
    before, began = _cpuSeconds(root), perf_counter()
    count = 0
    while (elapsed := perf_counter() - began) < seconds:
        if api is not None:
            api.next()
        count += 1
        pause.wait(max(0.0, count / EVENTS_A_SECOND - elapsed))
    return (_cpuSeconds(root) - before) / (perf_counter() - began) * 100


def _cpuSeconds(root: int) -> float:
    """Return the CPU time of the descendants of a process."""
    parents, times = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(stat.parent.name)
        parents[pid] = int(fields[1])
        times[pid] = int(fields[11]) + int(fields[12])
    family = set()
    for pid in parents:
        each = pid
        while each in parents and each != root:
            each = parents[each]
        if each == root and pid != root:
            family.add(pid)
    return sum(times[pid] for pid in family) / os.sysconf("SC_CLK_TCK")
