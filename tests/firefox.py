"""Headless Firefox, spoken to through Marionette, its own remote control."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from time import sleep
from typing import Any

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")

_SECONDS = 300
# It tells of the port that it chose in a file of the profile, and loads nothing of its own accord.
_SETTINGS = {
    "marionette.port": 0,
    "network.proxy.type": 1,  # a proxy that is not there, for all hosts but this one
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "network.proxy.no_proxies_on": "127.0.0.1, localhost",
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.aboutwelcome.enabled": False,
    "services.settings.server": "",
}


class Firefox:
    """A page in headless Firefox, which reaches no host but this one.

    Args:
        profile: A folder of its own, which is not there yet.
        settings: Further entries of ``about:config``.
    """

    def __init__(self, profile: Path, **settings: Any) -> None:
        profile.mkdir(parents=True)
        lines = (
            f"user_pref({json.dumps(name)}, {json.dumps(value)});"
            for name, value in {**_SETTINGS, **settings}.items()
        )
        (profile / "user.js").write_text("\n".join(lines), encoding="utf-8")
        self.process = subprocess.Popen(
            [str(FIREFOX), "--headless", "--marionette", "--no-remote", "--profile", str(profile)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "HOME": str(profile), "MOZ_CRASHREPORTER_DISABLE": "1"},
        )
        try:
            port = self._port(profile / "MarionetteActivePort")
            self.socket = socket.create_connection(("127.0.0.1", port), timeout=_SECONDS)
            self.answers, self.number = self.socket.makefile("rb"), 0
            self._receive()  # its greeting
            self.call("WebDriver:NewSession", capabilities={})
            limits = {"script": 1000 * _SECONDS, "pageLoad": 1000 * _SECONDS}
            self.call("WebDriver:SetTimeouts", **limits)
        except BaseException:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise

    def _port(self, file: Path) -> int:
        for _ in range(10 * _SECONDS):
            assert self.process.poll() is None, "Firefox ended"
            if file.is_file() and (text := file.read_text(encoding="utf-8").strip()):
                return int(text)
            sleep(0.1)
        raise AssertionError("Firefox does not open its port")

    def call(self, command: str, **given: Any) -> Any:
        """The result of a command of Marionette."""
        self.number += 1
        message = json.dumps([0, self.number, command, given]).encode()
        self.socket.sendall(b"%d:%b" % (len(message), message))
        _, number, error, found = self._receive()
        assert number == self.number
        assert error is None, error
        return found

    def _receive(self) -> Any:
        size = b""
        while (sign := self.answers.read(1)) != b":":
            assert sign, "Firefox ended"
            size += sign
        return json.loads(self.answers.read(int(size)))

    def open(self, url: str) -> None:
        """Go to an address and wait until all of the page is there."""
        self.call("WebDriver:Navigate", url=url)

    def value(self, script: str) -> Any:
        """The value of an expression in the page, or of the promise that it is."""
        # Without a sandbox of its own, so that the page's functions are there.
        return self.call(
            "WebDriver:ExecuteScript", script=f"return {script}", args=[], sandbox=None
        )["value"]

    def wait_for(self, condition: str) -> None:
        """Wait until an expression in the page is true; looked at once a frame."""
        self.value(
            "new Promise((done) => { const look = () => "
            f"(({condition}) ? done(true) : requestAnimationFrame(look)); look(); }})"
        )

    def give_files(self, selector: str, paths: Sequence[Path]) -> None:
        """Choose files in a file input."""
        found = self.call("WebDriver:FindElement", using="css selector", value=selector)
        (element,) = found["value"].values()
        text = "\n".join(str(path.resolve()) for path in paths)
        self.call("WebDriver:ElementSendKeys", id=element, text=text)

    def close(self) -> None:
        """End it."""
        self.answers.close()
        self.socket.close()
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
