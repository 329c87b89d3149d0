"""What the page does: every action, the keyboard, the connection, and who may act."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from selenium.webdriver.common.keys import Keys

from echoserver.local.testing import RunningFleetIQ
from tests.browser.browser import BrowserTestCase

GROUP = {"GameServerGroupName": "local"}


class ActionTests(BrowserTestCase):
    """Each button, with its effect on the local FleetIQ."""

    def test_claim(self) -> None:
        """Any game server is claimed, or the selected one; the reply is shown."""
        self.register("srv-1")
        self.register("srv-2")
        self.open()
        self.click("#claim-any")
        self.find(".reply", "ClaimGameServer: OK")
        self.assertEqual("CLAIMED", self.stateOf("srv-1"))
        self.select("srv-2")
        self.click("[data-action=claim]")
        self.tile("srv-2", "claimed")
        self.click("#claim-any")
        self.click(".reply summary", "OutOfCapacityException")
        self.find(".reply pre", "OutOfCapacityException")
        self.expected.append("400 (Bad Request)")

    def test_update(self) -> None:
        """A game server is reported healthy and set UTILIZED."""
        self.register("srv-1")
        self.fleetIQ.advance(120)
        self.open()
        self.tile("srv-1", "unhealthy")
        self.select("srv-1")
        self.click("[data-action=healthy]")
        self.tile("srv-1", "available")
        self.click("[data-action=utilize]")
        self.tile("srv-1", "utilized")
        self.assertEqual("UTILIZED", self.stateOf("srv-1"))

    def test_deregister(self) -> None:
        """Deregistering asks once; Cancel does nothing."""
        self.register("srv-1")
        self.open()
        self.select("srv-1")
        self.click("#panel .actions .danger")
        self.click("dialog button", "Cancel")
        self.gone("dialog")
        self.assertEqual("AVAILABLE", self.stateOf("srv-1"))
        self.click("#panel .actions .danger")
        self.click("dialog .danger", "Deregister")
        self.tile("srv-1", "gone", "Deregistered")
        self.assertIsNone(self.stateOf("srv-1"))

    def test_interrupt(self) -> None:
        """Each kind of interruption; a refusal is shown in the dialog."""
        self.open()
        first, second = self.fleetIQ.instanceIds
        for instance, kind, status in (
            (first, "rebalance", "ACTIVE"),
            (first, "draining", "DRAINING"),
            (first, "autoscaling", "DRAINING"),
            (second, "spot", "SPOT_TERMINATING"),
        ):
            self.click(f"[data-interrupt='{instance}']")
            self.choose("dialog select", kind)
            self.click("dialog .danger", "Interrupt")
            self.gone("dialog")
            statuses = {
                each["InstanceId"]: each["InstanceStatus"]
                for each in self.fleetIQ.state()["instances"]
            }
            self.assertEqual(status, statuses[instance])
        self.click(f"[data-interrupt='{second}']")
        self.click("dialog .danger", "Interrupt")
        self.find("dialog .error", "cannot be interrupted")
        self.expected.append("/_local/interrupt - Failed to load resource")

    def test_faults(self) -> None:
        """A fault is ordered, shown, and ended."""
        self.open()
        self.click("#faults")
        self.choose("dialog select[name=kind]", "error")
        self.choose("dialog select[name=operation]", "ClaimGameServer")
        self.fill("dialog [name=count]", "5")
        self.click("dialog .primary")
        self.gone("dialog")
        self.find("#fault-count", "1")
        [fault] = self.fleetIQ.state()["faults"]
        self.assertEqual(
            ("error", "InternalServiceException", 5), (fault["kind"], fault["code"], fault["count"])
        )
        self.click("#claim-any")
        self.find(".reply", "InternalServiceException")
        self.click("#faults")
        self.find("dialog .faults li", "4 calls left")
        self.click(f"dialog [data-fault={fault['id']}]")
        self.find("dialog .faults", "No fault is in force")
        self.assertEqual([], self.fleetIQ.state()["faults"])
        self.expected.append("500 (Internal Server Error)")

    def test_clock(self) -> None:
        """The clock is moved ahead and scaled."""
        self.register("srv-1")
        self.open()
        before = self.fleetIQ.state()["now"]
        self.click("#clock")
        self.fill("dialog [name=advance]", "181")
        self.fill("dialog [name=scale]", "2")
        self.click("dialog .primary")
        self.gone("dialog")
        state = self.fleetIQ.state()
        self.assertGreaterEqual(state["now"], before + 181)
        self.assertEqual(2, state["timeScale"])
        self.find("#clock-scale", "\N{MULTIPLICATION SIGN}2")
        self.tile("srv-1", "gone", "Dropped")

    def test_reset(self) -> None:
        """A reset asks once; then everything is as at the start."""
        self.register("srv-1")
        self.open()
        self.click("#reset")
        self.click("dialog .danger", "Reset")
        self.gone("dialog")
        self.gone(".tile")
        self.assertEqual([], self.fleetIQ.state()["gameServers"])

    def test_commands(self) -> None:
        """The commands are shown for a shell, the AWS CLI and Python, with this address."""
        self.register("srv-1", ConnectionInfo="127.0.0.1:1")
        self.open()
        self.select("srv-1")
        url = self.fleetIQ.endpointUrl
        self.find(".commands pre", f"fleetiq --endpoint-url {url} claim srv-1")
        self.click(".choices button", "aws")
        self.find(".commands pre", "aws gamelift deregister-game-server")
        self.click(".choices button", "boto3")
        texts = [each.text for each in self.all(".commands pre")]
        names: dict[str, Any] = {}
        exec("\n".join(texts[:2]), names)
        self.assertEqual("CLAIMED", self.stateOf("srv-1"))
        names["gamelift"].close()


class PlayTests(BrowserTestCase):
    """The terminal, on a real game server."""

    def test_play(self) -> None:
        """
        A free game server is claimed and connected; it becomes UTILIZED, its players are counted,
        q ends its session, and the page finds it again under its next id.
        """
        child = self.startServer("--local=tcp:0:interface=127.0.0.1")
        assert child.stdout is not None
        lines = iter(child.stdout.readline, "")
        url = next(line for line in lines if "See the fleet in a browser: " in line).split()[-1]
        self.open(url=url.removesuffix("/"))
        self.click(".tile[data-state=available]")
        name = self.find("#panel h2").text
        self.click("[data-action=play]")
        self.find(".terminal pre", "Connected.")
        self.press("hello", Keys.ENTER)
        self.find(".terminal pre", "> hello\nhello")
        self.tile(name, "utilized", "1 player")
        self.press("q", Keys.ENTER)
        self.find(".terminal pre", "The connection is closed.")
        self.find("#panel .means", "Deregistered")
        self.find("#panel .actions", "Registered again as")
        self.click("#panel .actions .link")
        self.find("#panel .pill", "AVAILABLE")

    def test_noServer(self) -> None:
        """If nothing listens, or the game server is on another machine, the terminal says so."""
        self.register("srv-1", ConnectionInfo="127.0.0.1:1")
        self.register("srv-2", ConnectionInfo="10.0.0.1:5000")
        self.open()
        for name, sentence in (
            ("srv-1", "refused"),
            ("srv-2", "only to game servers on localhost"),
        ):
            self.select(name)
            self.click("[data-action=play]")
            self.find(".terminal pre", sentence)


class KeyboardTests(BrowserTestCase):
    """All of it without a mouse."""

    def test_shortcuts(self) -> None:
        """Each shortcut, as listed under the question mark."""
        self.register("srv-1")
        self.register("srv-2")
        self.open()
        self.press("?")
        keys = [each.text for each in self.all("dialog kbd")]
        self.assertEqual({*"123/cpudikfr?", "← →", "Esc"}, set(keys))
        self.press(Keys.ESCAPE)
        self.gone("dialog")
        self.press("2")
        self.find("#view-calls")
        self.press("3")
        self.find("#view-figures")
        self.press("/")
        self.press("srv", Keys.TAB)
        self.press("1")
        self.find("#view-fleet")
        self.press("c")
        self.tile("srv-1", "claimed")
        for key, title in (
            ("k", "Local clock"),
            ("f", "Faults"),
            ("r", "Reset"),
            ("i", "Interrupt"),
        ):
            self.press(key)
            self.find("dialog h2", title)
            self.press(Keys.ESCAPE)
            self.gone("dialog")
        self.find(".tile[data-id=srv-1]").send_keys(Keys.ARROW_RIGHT)
        self.press(Keys.ENTER)
        self.find("#panel h2", "srv-2")
        self.press("u")
        self.tile("srv-2", "utilized")
        self.press("d")
        self.press(Keys.ESCAPE)
        self.gone("dialog")
        self.press(Keys.ESCAPE)
        self.find("#panel h2", "What you see")
        self.assertEqual("srv-2", self.driver.switch_to.active_element.get_attribute("data-id"))

    def test_shortcutsOff(self) -> None:
        """Single keys can be turned off, for people whose speech types them."""
        self.open()
        self.press("?")
        self.click("dialog [type=checkbox]")
        self.press(Keys.ESCAPE)
        self.gone("dialog")
        self.press("2")
        self.find("#view-fleet")

    def test_tab(self) -> None:
        """The Tab key reaches every button in turn, with a visible focus."""
        self.register("srv-1")
        self.open()
        reached = set()
        for _ in range(30):
            self.press(Keys.TAB)
            focused = self.driver.switch_to.active_element
            reached.add(
                focused.get_attribute("id")
                or focused.get_attribute("data-id")
                or focused.get_attribute("data-interrupt")
            )
            if focused.tag_name != "body":
                self.assertNotEqual("none", focused.value_of_css_property("outline-style"))
        expected = {
            "tab-fleet",
            "clock",
            "faults",
            "reset",
            "theme",
            "language",
            "help",
            "claim-any",
            "srv-1",
            *self.fleetIQ.instanceIds,
        }
        self.assertEqual(set(), expected - reached)


class ConnectionTests(BrowserTestCase):
    """The stream."""

    def test_reconnects(self) -> None:
        """The page says that it is not connected, and connects again by itself."""
        self.register("srv-1")
        self.open()
        self.tile("srv-1", "available")
        port = urlsplit(self.fleetIQ.endpointUrl).port
        self.fleetIQ.stop()
        self.find("#offline", "does not respond")
        self.find("#connection", "Not connected")
        self.expected += ["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING"]
        again = RunningFleetIQ(listen=f"tcp:{port}:interface=127.0.0.1")
        self.addCleanup(again.stop)
        self.connected()
        self.gone("#offline")
        self.gone(".tile")


_FOREIGN = """<!doctype html><title>foreign</title><iframe src="TARGET/"></iframe><script>
    const post = (path) => fetch("TARGET" + path, {method: "POST", mode: "no-cors", body: "{}"})
        .then((response) => response.type, () => "error");
    const opened = (source) => new Promise((done) => {
        source.onopen = () => done("open");
        source.onerror = () => { source.close(); done("error"); };
    });
    const read = fetch("TARGET/_local/state").then((response) => response.text(), () => "error");
    const socket = new WebSocket("TARGET/_local/play/local/srv-1".replace("http", "ws"));
    const stream = new EventSource("TARGET/_local/live");
    Promise.all([opened(socket), read, opened(stream), post("/_local/reset"), post("/")]).then(
        (all) => { document.body.dataset.results = all.slice(0, 3).join(); });
</script>"""


class _ForeignPage(BaseHTTPRequestHandler):
    """A page of another site, which tries to act on the local FleetIQ."""

    target = ""

    def do_GET(self) -> None:
        body = _FOREIGN.replace("TARGET", self.target).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class ForeignTests(BrowserTestCase):
    """Pages of other sites."""

    def serve(self) -> str:
        """Serve the page of another site, and return its URL."""
        page = type("Page", (_ForeignPage,), {"target": self.fleetIQ.endpointUrl})
        server = HTTPServer(("127.0.0.1", 0), page)
        thread = Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return f"http://127.0.0.1:{server.server_port}"

    def test_otherOrigin(self) -> None:
        """A page of another origin can neither act, read, play nor show the page in a frame."""
        self.register("srv-1", ConnectionInfo="127.0.0.1:1")
        self.open()
        self.driver.get(self.serve())
        self.expected += ["403", "frame", "CORS", "ERR_", "WebSocket"]
        body = self.find("body[data-results]")
        self.assertEqual("error,error,error", body.get_attribute("data-results"))
        self.assertEqual("AVAILABLE", self.stateOf("srv-1"))
        self.driver.switch_to.frame(0)
        self.assertEqual([], self.driver.find_elements("id", "instances"))

    def test_rebinding(self) -> None:
        """A host name of another site that resolves to this machine shows nothing."""
        self.expected += ["403"]
        rule = "--host-resolver-rules=MAP evil.example 127.0.0.1"
        self.open("en-US", (1440, 900), "light", None, rule)
        port = urlsplit(self.fleetIQ.endpointUrl).port
        self.driver.get(f"http://evil.example:{port}/")
        self.assertIn("Host is 'evil.example", self.find("body").text)
