"""A real Chromium as the phone, spoken to over its DevTools protocol."""

import base64
import json
import shutil
import urllib.request
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

from rig.process import Process, require
from rig.waiting import eventually

_NAMES = ("chromium", "google-chrome")


# What is answered about a page that another one is about to replace.
_GONE = ("context", "navigated")


class _PageGone(Exception):
    pass


class Browser:
    """A browser without a window; every name leads to one port of this machine.

    Args:
        directory: for its profile.
        port: where all names lead.
        language: as its user prefers.
        width: of its window, in CSS pixels.
    """

    def __init__(
        self, directory: Path, port: int, language: str = "en", width: int = 360
    ) -> None:
        found = [name for name in _NAMES if shutil.which(name)]
        program = require(found[0] if found else _NAMES[0], "apt install chromium")
        directory.mkdir()
        self._process = Process(
            [
                program,
                "--headless=new",
                "--no-sandbox",  # tests may run as root
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--no-first-run",
                "--remote-debugging-port=0",
                f"--user-data-dir={directory / 'profile'}",
                f"--accept-lang={language}",
                f"--host-resolver-rules=MAP * 127.0.0.1:{port}",
                "about:blank",
            ],
            directory / "log",
        )
        where = directory / "profile/DevToolsActivePort"
        self._process.wait_until(lambda: where.exists() and where.read_text().strip())
        self._tools = f"http://127.0.0.1:{where.read_text().split()[0]}/json/list"
        self._socket = connect(eventually(self._page), max_size=None)
        self._number = 0
        self._ask("Page.enable")
        self.resize(width)

    def resize(self, width: int, height: int = 740, scale: int = 2) -> None:
        """Have a screen of a phone; `scale` is pixels of a CSS pixel."""
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=True,
        )

    def be_dark(self, is_dark: bool = True) -> None:
        """Prefer dark pages, or light ones."""
        scheme = "dark" if is_dark else "light"
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._ask("Emulation.setEmulatedMedia", features=[feature])

    def forbid_scripts(self) -> None:
        """Run no script of a page."""
        self._ask("Emulation.setScriptExecutionDisabled", value=True)

    def open(self, url: str) -> None:
        """Go there, and wait until a page has been loaded."""
        self._ask("Page.navigate", url=url)
        eventually(lambda: self._shown("true"))

    def is_at(self, url: str) -> bool:
        """Whether the whole page with this address is there."""
        return bool(self._shown(f"location.href == {json.dumps(url)}"))

    def run(self, script: str, *, is_awaited: bool = False) -> Any:
        """The value of an expression in the page, or of the promise that it is."""
        answer = self._ask(
            "Runtime.evaluate",
            expression=script,
            returnByValue=True,
            awaitPromise=is_awaited,
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def send(self, **fields: str) -> None:
        """Fill these fields of the form, and press its button."""
        for name, value in fields.items():
            field = f"document.querySelector('[name={name}]')"
            self.run(f"{field}.value = {json.dumps(value)}")
        self.run("document.querySelector('.go').click()")

    def has(self, text: str) -> bool:
        """Whether a whole page is there which shows this text."""
        shown = f"document.body.innerText.includes({json.dumps(text)})"
        return bool(self._shown(shown))

    def _shown(self, condition: str) -> Any:
        """Whether the page has arrived whole, and something is true of it."""
        whole = "document.readyState == 'complete' && document.body != null"
        try:
            return self.run(f"{whole} && ({condition})")
        except _PageGone:
            return False

    def screenshot(self, path: Path) -> None:
        """Write the whole page as PNG."""
        answer = self._ask("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self._process.kill()

    def _page(self) -> str:
        with urllib.request.urlopen(self._tools, timeout=10) as answer:
            pages = [one for one in json.load(answer) if one["type"] == "page"]
        url: str = pages[0]["webSocketDebuggerUrl"] if pages else ""
        return url

    def _ask(self, method: str, **params: Any) -> Any:
        self._number += 1
        asked = {"id": self._number, "method": method, "params": params}
        self._socket.send(json.dumps(asked))
        while True:
            answer = json.loads(self._socket.recv(timeout=60))
            if answer.get("id") == self._number:
                if any(word in str(answer.get("error")) for word in _GONE):
                    raise _PageGone(answer)
                assert "error" not in answer, answer
                return answer["result"]
