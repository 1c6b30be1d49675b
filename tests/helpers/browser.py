"""Headless Chromium, driven through a pipe: what a page shows, asks for and complains of. One start, many pages."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
DESKTOP, PHONE = (1280, 900), (390, 844)

_FLAGS = (
    "--headless",
    "--no-sandbox",  # containers run tests as root, where Chromium has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-sync",
    "--disable-quic",
    "--disable-extensions",
    "--disable-features=Translate,OptimizationHints,MediaRouter",
    "--mute-audio",
    "--disable-background-networking",
    "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
    "about:blank",
)

# The browser reads commands from descriptor 3 and writes answers to 4.
_START = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)


@dataclass
class Shown:
    """What came of a page: ``complaints`` of console and content policy, ``requests`` beside the page itself."""

    png: bytes
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


class Browser:
    """A running Chromium; ``with Browser(profile_folder) as browser: browser.show(path)``."""

    def __init__(self, profile: Path):
        if PROGRAM is None:
            raise RuntimeError("no chromium on this machine")
        ends = [*os.pipe(), *os.pipe()]
        # Above those that the browser's own take the place of.
        theirs_in, self._out, self._in, theirs_out = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
        for end in ends:
            os.close(end)
        command = [sys.executable, "-S", "-c", _START, str(theirs_in), str(theirs_out), PROGRAM, *_FLAGS]
        command.insert(-1, f"--user-data-dir={profile}")
        self._process = subprocess.Popen(
            command, pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._buffer, self._last, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError, TimeoutError):
            self.call("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def show(
        self, page: Path, size: tuple[int, int] = DESKTOP, ask: dict[str, str] | None = None, whole: bool = False
    ) -> Shown:
        """Open a file and take a picture of what the window shows, or of the ``whole`` page.

        ``ask`` are expressions whose values become ``facts``.
        """
        session, (width, height) = self._session or self._begin(), size
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", session, **screen)
        self.events.clear()
        address = page.absolute().as_uri()
        self.call("Page.navigate", session, url=address)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._next("Page.loadEventFired")
        png = self.call("Page.captureScreenshot", session, format="png", captureBeyondViewport=whole)["data"]
        facts = {name: self._value(session, expression) for name, expression in (ask or {}).items()}
        return Shown(base64.b64decode(png), *_told(self.events, address), facts=facts)

    def _begin(self) -> str:
        """One tab for all pages: opening another costs as much as showing a page."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable", self._session)
        return self._session

    def call(self, method: str, session: str | None = None, /, **params: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol and wait for its answer; events on the way are kept."""
        number = self._send(method, session, params)
        while True:
            answer = self._next(method)
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def _send(self, method: str, session: str | None, params: dict[str, Any]) -> int:
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        return self._last

    def _value(self, session: str, expression: str) -> Any:
        return self.call("Runtime.evaluate", session, expression=expression, returnByValue=True)["result"].get("value")

    def _next(self, waited_for: str) -> dict[str, Any]:
        """The next message; those without an id are events."""
        until = time.monotonic() + 150
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, until - time.monotonic()))
            read = os.read(self._in, 1 << 20) if ready else b""
            if not read:
                raise TimeoutError(f"the browser did not answer {waited_for}")
            self._buffer += read
        raw, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(raw)
        if "id" not in message:
            self.events.append(message)
            if message["method"] == "Page.javascriptDialogOpening":  # the page waits for it
                self._send("Page.handleJavaScriptDialog", message["sessionId"], {"accept": True})
        return message


def _told(events: list[dict[str, Any]], address: str) -> tuple[list[str], list[str], list[str]]:
    complaints, requests, dialogs = [], [], []
    for event in events:
        params = event["params"]
        match event["method"]:
            case "Log.entryAdded":
                complaints.append(params["entry"]["text"])
            case "Runtime.exceptionThrown":
                complaints.append(params["exceptionDetails"]["text"])
            case "Runtime.consoleAPICalled":
                complaints.append(f"console.{params['type']}")
            case "Page.javascriptDialogOpening":
                dialogs.append(params["message"])
            case "Network.requestWillBeSent":
                url = params["request"]["url"]
                if url != address and not url.startswith("data:"):
                    requests.append(url)
    return complaints, requests, dialogs
