"""What the page shows: every state, the calls, the figures, the languages and the themes."""

from __future__ import annotations

import json
import re
from pathlib import Path

from selenium.webdriver.common.keys import Keys

import echoserver.local
from tests.browser.browser import DESKTOP, PHONE, WIDE, BrowserTestCase

GROUP = {"GameServerGroupName": "local"}
FOLDER = Path(echoserver.local.__file__).parent / "dashboard"
HANGUL = re.compile("[가-힣]")


class FleetTestCase(BrowserTestCase):
    """A fleet that has everything."""

    def fillFleet(self) -> None:
        """Register a game server of each state."""
        for name in ("silent", "available", "claimed", "utilized", "deregistered"):
            self.register(name)
        self.client.deregister_game_server(**GROUP, GameServerId="deregistered")
        self.fleetIQ.advance(100)
        for name in ("available", "claimed", "utilized"):
            self.client.update_game_server(**GROUP, GameServerId=name, HealthCheck="HEALTHY")
        self.client.update_game_server(
            **GROUP, GameServerId="utilized", UtilizationStatus="UTILIZED"
        )
        self.client.claim_game_server(**GROUP, GameServerId="claimed")


class StateTests(FleetTestCase):
    """The fleet view."""

    def test_everyState(self) -> None:
        """Each state has its tile, label and count; a game server that is gone has a reason."""
        self.fillFleet()
        self.open()
        self.tile("available", "available", "AVAILABLE")
        self.tile("claimed", "claimed", "s left")
        self.tile("utilized", "utilized", "UTILIZED")
        self.tile("silent", "unhealthy", "unhealthy 10")
        counts = {each.get_attribute("data-state"): each.text for each in self.all(".summary li")}
        for state, count in (("available", 2), ("claimed", 1), ("utilized", 1), ("unhealthy", 1)):
            self.assertIn(str(count), counts[state].splitlines())
        self.find("#gone-list li", "Deregistered")

    def test_live(self) -> None:
        """The page follows without being loaded again."""
        self.open()
        self.find(".empty", "No game server is registered")
        self.find("#group-line", "twistd -n fleetiq-echo --local")
        self.register("srv-1")
        self.tile("srv-1", "available")
        self.client.claim_game_server(**GROUP)
        self.tile("srv-1", "claimed", "60 s left")
        self.fleetIQ.advance(60)
        self.tile("srv-1", "available")
        self.fleetIQ.advance(40)
        self.tile("srv-1", "unhealthy", "unhealthy 10")
        self.fleetIQ.advance(90)
        self.tile("srv-1", "gone", "Dropped by FleetIQ")
        self.find("#gone-list li", "No health report for 3 min")
        self.register("srv-1")
        self.tile("srv-1", "available")

    def test_countdown(self) -> None:
        """The seconds of a claim run down by themselves."""
        self.register("srv-1")
        self.client.claim_game_server(**GROUP)
        self.open()
        first = self.tile("srv-1", "claimed", "s left").text
        self.until("another text", lambda: self.tile("srv-1", "claimed").text != first)

    def test_instances(self) -> None:
        """An interrupted instance shows its status and its countdown, and is gone at the end."""
        self.open()
        first, second = self.fleetIQ.instanceIds
        self.register("srv-1")
        self.fleetIQ.interrupt(first, kind="rebalance")
        self.find(".notice", "Rebalance recommendation")
        self.fleetIQ.interrupt(first, kind="spot", seconds=100)
        self.find(".instance .pill", "SPOT_TERMINATING")
        self.find(".notice", "terminates in ")
        self.fleetIQ.interrupt(second, kind="draining")
        self.find(".instance .pill", "DRAINING")
        self.fleetIQ.advance(100)
        self.find("#gone-list li", "Its instance was terminated (Spot interruption)")
        self.until("one instance", lambda: len(self.all(".instance")) == 1)

    def test_timeline(self) -> None:
        """The timeline of a game server says what happened, who did it, and why it is gone."""
        self.open()
        self.register("srv-1", ConnectionInfo="127.0.0.1:1")
        self.tile("srv-1", "available")
        self.select("srv-1")
        for _ in range(3):
            self.client.update_game_server(**GROUP, GameServerId="srv-1", HealthCheck="HEALTHY")
        self.client.claim_game_server(**GROUP)
        self.client.update_game_server(**GROUP, GameServerId="srv-1", UtilizationStatus="UTILIZED")
        self.assertRaises(
            self.client.exceptions.ConflictException,
            self.client.claim_game_server,
            **GROUP,
            GameServerId="srv-1",
        )
        self.fleetIQ.advance(200)
        self.find(".timeline li", "Dropped by FleetIQ")
        rows = [each.text.split("\n")[1:] for each in self.all(".timeline li")]
        self.assertEqual(
            [
                "Dropped by FleetIQ",
                "ClaimGameServer failed",
                "UTILIZED",
                "Claimed",
                "Health report",
                "Registered",
            ],
            [row[0] for row in rows],
        )
        self.assertIn("its process had failed", rows[0][1])
        self.assertIn("ConflictException", rows[1][1])
        self.assertIn("By Boto3/", rows[3][1])
        self.assertIn("3 reports", rows[4][1])
        self.find("#panel .pill", "GONE")

    def test_outsideText(self) -> None:
        """What comes from outside is shown as text."""
        hostile = "<img src=x onerror=document.title='owned'><script>1</script>"
        self.register("srv-1", ConnectionInfo=hostile, GameServerData=hostile)
        self.open()
        self.select("srv-1")
        self.find(".fields", hostile)
        self.assertEqual([], self.all("#panel img, #panel script"))
        self.assertEqual("Local FleetIQ", self.driver.title)


class GroupTests(BrowserTestCase):
    """More than one group."""

    def options(self) -> dict[str, object]:
        return {"groups": ("local", "other"), "instances": 1}

    def test_tabs(self) -> None:
        """Each group has a tab with its instances and game servers."""
        self.register("srv-1")
        self.open()
        self.tile("srv-1", "available")
        self.click("#groups button", "other")
        self.gone(".tile")
        self.find(".instance h2", self.fleetIQ.instanceIds[1])
        self.click("#groups button", "local")
        self.tile("srv-1", "available")


class ManyTests(BrowserTestCase):
    """A large fleet."""

    def options(self) -> dict[str, object]:
        return {"instances": 50}

    def test_thousand(self) -> None:
        """1,000 game servers on 50 instances are all shown, and one of them is found by its id."""
        ids = self.fleetIQ.instanceIds
        for number in range(1000):
            self.client.register_game_server(
                **GROUP, GameServerId=f"srv-{number}", InstanceId=ids[number % 50]
            )
        self.open()
        self.until("1,000 tiles", lambda: len(self.all(".tile")) == 1000)
        self.find(".summary li", "1,000")
        self.client.claim_game_server(**GROUP, GameServerId="srv-999")
        self.driver.execute_script("document.querySelector('[data-id=srv-999]').scrollIntoView()")
        self.tile("srv-999", "claimed")


class CallsTests(BrowserTestCase):
    """The view of the calls."""

    def test_filters(self) -> None:
        """Calls are filtered by operation, outcome and game server, and show input and output."""
        self.open()
        self.click("#tab-calls")
        self.find("#view-calls .nothing", "No call")
        self.register("srv-1")
        self.register("srv-2")
        self.assertRaises(
            self.client.exceptions.NotFoundException,
            self.client.describe_game_server,
            **GROUP,
            GameServerId="srv-x",
        )
        rows = "tbody tr:not(.details)"
        self.until("three calls", lambda: len(self.all(rows)) == 3)
        self.find("tbody .outcome-failed", "NotFoundException")
        self.find("tbody .caller", "Boto3/")
        self.choose("#view-calls select:nth-of-type(2)", "failed")
        self.until("one call", lambda: len(self.all(rows)) == 1)
        self.choose("#view-calls select:nth-of-type(2)", "")
        self.choose("#view-calls select:nth-of-type(1)", "RegisterGameServer")
        self.until("two calls", lambda: len(self.all(rows)) == 2)
        self.find("#calls-filter").send_keys("srv-2")
        self.until("one call", lambda: len(self.all(rows)) == 1)
        self.click("tbody .operation button")
        self.find("tbody .details pre", '"GameServerId": "srv-2"')
        self.find("tbody .details pre", '"UtilizationStatus": "AVAILABLE"')

    def test_pause(self) -> None:
        """While the list is paused it does not move; then it has all calls."""
        self.open()
        self.click("#tab-calls")
        self.register("srv-1")
        self.find("tbody .server", "srv-1")
        self.click("#view-calls button", "Pause")
        self.register("srv-2")
        self.until("the tile", lambda: self.all(".tile[data-id=srv-2]") or None)
        self.assertEqual(1, len(self.all("tbody .server")))
        self.click("#view-calls button", "Pause")
        self.find("tbody .server", "srv-2")


class FiguresTests(BrowserTestCase):
    """The view of the figures."""

    def test_figures(self) -> None:
        """The metrics have CloudWatch's names; their plots begin before the page was opened."""
        for number in range(4):
            self.register(f"srv-{number}")
        self.fleetIQ.advance(60)
        self.client.update_game_server(**GROUP, GameServerId="srv-0", UtilizationStatus="UTILIZED")
        self.client.claim_game_server(**GROUP)
        self.open()
        self.click("#tab-figures")
        for name, value in (
            ("AvailableGameServers", "3"),
            ("UtilizedGameServers", "1"),
            ("PercentUtilizedGameServers", "25%"),
        ):
            self.find(".plot", f"{name}\n{value}")
        label = self.find("svg[aria-label^=UtilizedGameServers]").get_attribute("aria-label")
        self.assertIn("now 1, at least 0, at most 1", label or "")
        self.fleetIQ.interrupt(self.fleetIQ.instanceIds[0], kind="spot")
        self.find(".plot", "DrainingAvailableGameServers\n3")
        self.find(".plot", "DrainingUtilizedGameServers\n1")
        self.find(".plot", "GameServerInterruptions\n4")
        self.find(".plot", "InstanceInterruptions\n1")
        self.find(".plot", "RegisterGameServer")


class AppearanceTests(FleetTestCase):
    """Languages, themes, sizes and accessibility."""

    def test_korean(self) -> None:
        """A Korean browser shows Korean, reasons included; the switch shows English."""
        self.fillFleet()
        self.open(language="ko-KR")
        self.fleetIQ.advance(90)
        self.find("#gone-list li", "상태 확인 보고가 없어")
        for selector in ("#view-fleet", "#panel", "header"):
            for line in self.find(selector).text.splitlines():
                isWord = re.search(r"[a-z]{4,} [a-z]{2,}", line)
                self.assertFalse(isWord and not HANGUL.search(line), line)
        self.assertEqual("ko", self.find("html").get_attribute("lang"))
        self.choose("#language", "en")
        self.find("#gone-list li", "No health report for")
        self.assertEqual("en", self.find("html").get_attribute("lang"))
        self.driver.refresh()
        self.connected()
        self.find("#tab-fleet", "Fleet")

    def test_noMissingText(self) -> None:
        """No view shows the key of a text instead of the text."""
        keys = json.loads((FOLDER / "en.json").read_text())
        self.fillFleet()
        self.open(language="ko-KR")
        for view in ("fleet", "calls", "figures"):
            self.click(f"#tab-{view}")
            words = set(self.find("body").text.split())
            self.assertEqual(set(), {each for each in words if each in keys and "." in each})

    def test_themes(self) -> None:
        """The theme is the system's, until one is chosen; the choice is kept."""
        color = "return getComputedStyle(document.body).backgroundColor"
        self.open(scheme="dark")
        dark = self.driver.execute_script(color)
        self.emulate({"prefers-color-scheme": "light"})
        self.until("light", lambda: self.driver.execute_script(color) != dark)
        self.choose("#theme", "dark")
        self.until("dark", lambda: self.driver.execute_script(color) == dark)
        self.driver.refresh()
        self.connected()
        self.assertEqual(dark, self.driver.execute_script(color))

    def test_accessible(self) -> None:
        """axe-core finds no violation in any view, dialog, theme and size."""
        self.fillFleet()
        self.fleetIQ.interrupt(self.fleetIQ.instanceIds[1], kind="spot")
        self.open()
        for size in (DESKTOP, PHONE):
            for scheme in ("light", "dark"):
                self.setSize(size)
                reduced = {"prefers-reduced-motion": "reduce"}
                self.emulate({"prefers-color-scheme": scheme, **reduced})
                for view in ("calls", "figures", "fleet"):
                    self.click(f"#tab-{view}")
                    self.assertEqual([], self.violations(), (size, scheme, view))
                self.select("claimed")
                self.assertEqual([], self.violations(), (size, scheme, "panel"))
                self.press(Keys.ESCAPE)
                self.press("f")
                self.find("dialog[open]")
                self.assertEqual([], self.violations(), (size, scheme, "dialog"))
                self.press(Keys.ESCAPE)
                self.gone("dialog")

    def test_sizes(self) -> None:
        """From a phone to 4K nothing is wider than the window."""
        self.fillFleet()
        self.open()
        for size in (PHONE, (768, 1024), DESKTOP, WIDE):
            self.setSize(size)
            for view in ("calls", "figures", "fleet"):
                self.click(f"#tab-{view}")
                width = self.driver.execute_script("return document.documentElement.scrollWidth")
                self.assertLessEqual(width, size[0], (size, view))

    def test_reducedMotion(self) -> None:
        """With reduced motion a game server that is gone does not fade."""
        self.open()
        self.emulate({"prefers-reduced-motion": "reduce"})
        self.register("srv-1")
        self.tile("srv-1", "available")
        self.client.deregister_game_server(**GROUP, GameServerId="srv-1")
        tile = self.tile("srv-1", "gone")
        self.assertEqual("none", tile.value_of_css_property("animation-name"))
