"""The page at C{/} and its files, as HTTP responses."""

from __future__ import annotations

import json
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import echoserver.local
from echoserver.local.http.page import POLICY
from tests.local.inmemory import MemoryFleetIQ, Response

FOLDER = Path(echoserver.local.__file__).parent / "dashboard"
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class PageTests(SynchronousTestCase):
    """C{GET /} from a browser, and C{/dashboard}."""

    def setUp(self) -> None:
        self.fleetIQ = MemoryFleetIQ()

    def get(self, path: str, **headers: str) -> Response:
        return self.fleetIQ.request("GET", path, headers)

    def test_index(self) -> None:
        """A browser receives the page; other clients receive one line."""
        page = self.get("/", **HTML)
        self.assertEqual(
            (200, "text/html; charset=utf-8"), (page.status, page.headers["content-type"])
        )
        self.assertEqual((FOLDER / "index.html").read_bytes(), page.body)
        self.assertEqual("accept", page.headers["vary"])
        self.assertNotIn(b"<", self.get("/", Accept="*/*").body)

    def test_securityHeaders(self) -> None:
        """The page and its files load nothing from elsewhere, and are in no frame."""
        for path in ("/", *(f"/dashboard/{each.name}" for each in FOLDER.iterdir())):
            headers = self.get(path, **HTML).headers
            policy = headers["content-security-policy"]
            self.assertEqual(POLICY.decode().lower(), policy)
            for part in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'none'"):
                self.assertIn(part, policy)
            self.assertNotIn("unsafe", policy)
            self.assertEqual("nosniff", headers["x-content-type-options"])
            self.assertEqual("deny", headers["x-frame-options"])

    def test_notModified(self) -> None:
        """A browser that has the current file receives only headers."""
        tag = self.get("/dashboard/page.css").headers["etag"]
        response = self.get("/dashboard/page.css", **{"If-None-Match": tag})
        self.assertEqual((304, b""), (response.status, response.body))
        self.assertEqual(200, self.get("/dashboard/page.css", **{"If-None-Match": '"x"'}).status)

    def test_missing(self) -> None:
        """No other file of this machine is served."""
        for path in ("", "/", "/..", "/../service.py", "/%2e%2e%2fservice.py", "/no.js", "/a/b.js"):
            self.assertEqual(404, self.get(f"/dashboard{path}").status, path)

    def test_foreign(self) -> None:
        """A page of another site, and a host name of another site, have no access."""
        for path in ("/", "/dashboard/main.js", "/_local/live", "/_local/play/local/srv-1"):
            for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
                response = self.get(path, **HTML, **headers)
                self.assertEqual(403, response.status, (path, headers))


class FileTests(SynchronousTestCase):
    """What the files contain."""

    def test_sameKeys(self) -> None:
        """Both languages have the same texts, with the same values in them."""
        english, korean = (
            json.loads((FOLDER / f"{language}.json").read_text()) for language in ("en", "ko")
        )
        self.assertEqual(list(english), list(korean))
        for key, text in english.items():
            names = [sorted(set(re.findall(r"\{(\w+)\}", each))) for each in (text, korean[key])]
            self.assertEqual(names[0], names[1], key)

    def test_everyTextIsUsed(self) -> None:
        """Each text that the page asks for exists, and each one that exists is asked for."""
        texts = json.loads((FOLDER / "en.json").read_text())
        sources = "\n".join(
            each.read_text() for each in FOLDER.iterdir() if each.suffix in (".js", ".html")
        )
        asked = set(re.findall(r"\bt\(\"([\w.-]+)\"", sources))
        asked |= set(re.findall(r"data-(?:text|label|hint)=\"([\w.-]+)\"", sources))
        self.assertEqual(set(), asked - set(texts))
        composed = [
            re.escape(each).replace(r"\$", "$").replace("$\\{", "${")
            for each in re.findall(r"\bt\(`([^`]+)`", sources)
        ]
        patterns = [re.compile(re.sub(r"\$\{.*?\}", ".+", each)) for each in composed]
        quoted = set(re.findall(r"\"([\w.-]+)\"", sources))
        for key in texts:
            isUsed = key in asked | quoted or any(each.fullmatch(key) for each in patterns)
            self.assertTrue(isUsed, key)

    def test_noHTMLFromStrings(self) -> None:
        """No script makes HTML or code from a string, and none names another host."""
        for script in FOLDER.glob("*.js"):
            text = script.read_text()
            for pattern in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "Function("):
                self.assertNotIn(pattern, text, script.name)
        for each in FOLDER.iterdir():
            found = set(re.findall(r"https?://[^\s\"'`$)]+", each.read_text()))
            allowed = {"http://www.w3.org/2000/svg", "http://127.0.0.1:4570"}
            self.assertEqual(set(), found - allowed, each.name)
