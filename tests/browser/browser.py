"""Headless Chromium on the page of a local FleetIQ, with conditions instead of sleeps."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait
from twisted.trial.unittest import SynchronousTestCase

from echoserver.local.testing import RunningFleetIQ

T = TypeVar("T")

DEADLINE = 20.0
ROOT = Path(__file__).parents[2]
AXE = ROOT / "build/axe/node_modules/axe-core/axe.min.js"
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
REQUIRED = "FLEETIQ_BROWSER_TESTS" in os.environ
PHONE, DESKTOP, WIDE = (360, 740), (1440, 900), (3840, 2160)


def missing() -> str | None:
    """Return what the tests of this package lack; C{None} if they can run."""
    if CHROMIUM is None or DRIVER is None:
        return "The tests of the page need Debian's packages chromium and chromium-driver."
    return None if AXE.exists() else "The tests of the page need axe-core: type 'make axe'."


# A browser starts in 2 to 4 s: tests with the same language and arguments share one.
_drivers: dict[tuple[str, ...], Chrome] = {}


def _driver(language: str, arguments: tuple[str, ...]) -> Chrome:
    """Return a browser that is quit at the end of this process."""
    key = (language, *arguments)
    if key not in _drivers:
        options = ChromeOptions()
        options.binary_location = CHROMIUM or "chromium"
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", *arguments):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        options.add_experimental_option("prefs", {"intl.accept_languages": language})
        driver = Chrome(options=options, service=Service(DRIVER))
        atexit.register(driver.quit)
        _drivers[key] = driver
    return _drivers[key]


class BrowserTestCase(SynchronousTestCase):
    """
    A local FleetIQ with the group C{local}, and a browser on its page. At the end the console of
    the browser must have no error.

    @ivar expected: parts of errors that a test causes on purpose.
    """

    driver: Chrome

    def __init_subclass__(cls) -> None:
        """Remove the tests if they cannot run. Then L{tests.browser.test_browser} is skipped."""
        if missing() is not None:
            for name in [name for name in vars(cls) if name.startswith("test_")]:
                delattr(cls, name)

    def setUp(self) -> None:
        self.expected: list[str] = []
        self.fleetIQ = RunningFleetIQ(**self.options())
        self.addCleanup(self.fleetIQ.stop)
        self.client = self.fleetIQ.client()

    def options(self) -> dict[str, Any]:
        """Return the options of the local FleetIQ."""
        return {"instances": 2, "seed": 1}

    def open(
        self,
        language: str = "en-US",
        size: tuple[int, int] = DESKTOP,
        scheme: str = "light",
        url: str | None = None,
        *arguments: str,
    ) -> None:
        """Start a browser, and open the page. Return when it is connected."""
        self.driver = _driver(language, arguments)
        self.addCleanup(self.driver.get, "about:blank")
        self.addCleanup(self._checkConsole)
        self.setSize(size)
        self.emulate({"prefers-color-scheme": scheme})
        self.driver.get(f"{url or self.fleetIQ.endpointUrl}/")
        self.connected()

    def connected(self) -> None:
        """Wait until the page is live."""
        self.find("#connection[data-connected=true]")
        self.until("the fleet", lambda: self.all(".summary li, .instances > *") or None)

    def emulate(self, features: dict[str, str]) -> None:
        media = [{"name": name, "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})

    def setSize(self, size: tuple[int, int]) -> None:
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1}
        command = "Emulation.setDeviceMetricsOverride"
        self.driver.execute_cdp_cmd(command, {**metrics, "mobile": width < 600})

    def until(self, what: str, look: Callable[[], T | None]) -> T:
        """Return what C{look} finds; fail if it finds nothing in time."""

        def found(_: object) -> T | bool:
            try:
                seen = look()
            except StaleElementReferenceException:
                return False
            return False if seen is None or seen is False else seen

        wait = WebDriverWait(self.driver, DEADLINE, poll_frequency=0.05)
        try:
            return wait.until(found)  # type: ignore[return-value] # until() never returns False
        except TimeoutException:
            text = self.driver.find_element("css selector", "body").text
            raise AssertionError(f"Waited {DEADLINE:.0f} s for {what}. The page: {text}") from None

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements("css selector", selector)

    def find(self, selector: str, text: str = "") -> WebElement:
        """Return the visible element with this text, when it is there."""

        def look() -> WebElement | None:
            shown = (each for each in self.all(selector) if text in each.text)
            return next((each for each in shown if each.is_displayed()), None)

        return self.until(f"{selector} with {text!r}", look)

    def gone(self, selector: str) -> None:
        """Wait until no element is visible."""
        self.until(
            f"no {selector}",
            lambda: not any(each.is_displayed() for each in self.all(selector)),
        )

    def click(self, selector: str, text: str = "") -> None:
        self.until(f"a click on {selector}", lambda: self._click(selector, text))

    def _click(self, selector: str, text: str) -> bool:
        self.find(selector, text).click()
        return True

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        focused: Any = self.driver.switch_to.active_element
        focused.send_keys(*keys)

    def fill(self, selector: str, text: str) -> None:
        element = self.find(selector)
        element.send_keys(Keys.CONTROL, "a")
        element.send_keys(text)

    def choose(self, selector: str, value: str) -> None:
        self.find(f"{selector} option[value='{value}']").click()

    def register(self, name: str, instance: int = 0, **members: str) -> str:
        """Register a game server, and return its id."""
        self.client.register_game_server(
            GameServerGroupName="local",
            GameServerId=name,
            InstanceId=self.fleetIQ.instanceIds[instance],
            **members,
        )
        return name

    def stateOf(self, name: str) -> str | None:
        """Return a game server's state; C{None} if it is not registered."""
        for each in self.fleetIQ.state()["gameServers"]:
            if each["GameServerId"] == name:
                return str(each.get("ClaimStatus") or each["UtilizationStatus"])
        return None

    def tile(self, name: str, state: str, text: str = "") -> WebElement:
        """Return the tile of a game server, when it has this state."""
        return self.find(f".tile[data-id='{name}'][data-state={state}]", text)

    def select(self, name: str) -> None:
        """Select a game server."""
        self.click(f".tile[data-id='{name}']")
        self.find("#panel h2", name)

    def startServer(self, *options: str) -> subprocess.Popen[str]:
        """Start a game server as a child process that uses any free port."""
        twistd = Path(sys.executable).with_name("twistd")
        child = subprocess.Popen(
            [
                twistd,
                "-n",
                "--pidfile=",
                "fleetiq-echo",
                "--listen=tcp:0:interface=127.0.0.1",
                *options,
            ],
            env={"PATH": os.defpath, "HOME": str(Path(self.mktemp()).absolute())},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.addCleanup(self._end, child)
        return child

    def _end(self, child: subprocess.Popen[str]) -> None:
        child.kill()
        child.communicate()

    def violations(self) -> list[str]:
        """Return what axe-core finds on the page as it is now."""
        self.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text() + ";void 0"})
        found = self.driver.execute_async_script(
            "const done = arguments[0]; axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a',"
            " 'wcag21aa', 'wcag22aa', 'best-practice']}).then((result) => done(result.violations))"
        )
        return [
            f"{each['id']}: {each['help']}: {[node['html'][:200] for node in each['nodes'][:3]]}"
            for each in found
        ]

    def _checkConsole(self) -> None:
        entries: list[dict[str, Any]] = self.driver.get_log("browser")
        errors = [
            each["message"]
            for each in entries
            if each["level"] in ("SEVERE", "WARNING")
            and not any(part in each["message"] for part in self.expected)
        ]
        self.assertEqual([], errors)
