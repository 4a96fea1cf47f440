"""Headless Chromium, spoken to through its debugging pipe."""

import base64
import json
import os
import select
import shutil
import signal
import subprocess

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def is_load(event, loader):
    """Whether a DevTools event says that all of the page of this loader is there."""
    said = event.get("params", {})
    found = (event.get("method"), said.get("name"), said.get("loaderId"))
    return found == ("Page.lifecycleEvent", "load", loader)


def is_new_page(event):
    """Whether a DevTools event tells of a page."""
    is_new = event["method"] == "Target.targetCreated"
    return is_new and event["params"]["targetInfo"]["type"] == "page"


class Browser:
    """Headless Chromium, spoken to through its debugging pipe: it answers when it is done.

    Its ``--dump-dom`` gives what is there after some time, which a busy machine makes too short.
    No name but those of this machine is known to it.

    Args:
        profile: A folder of its own.
        flags: Further words of its command line.
    """

    def __init__(self, profile, *flags):
        words = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        words += ["--disable-background-networking", "--disable-component-update"]
        words += ["--disable-sync", "--disable-quic", "--disable-dev-shm-usage"]
        words += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"]
        words += ["--remote-debugging-pipe", f"--user-data-dir={profile}", *flags, "about:blank"]
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        # Chromium reads requests from descriptor 3 and writes answers to 4.
        redirect = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self.process = subprocess.Popen(
            ["bash", "-c", redirect, "bash", CHROMIUM, *words],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self.requests, self.answers = open(ours_out, "wb"), open(ours_in, "rb")  # noqa: SIM115
        self.number, self.events, self.rest, self.session = 0, [], b"", {}

    def open_page(self):
        """Speak to the page from here on; it may come later than the first answer."""
        self.call("Target.setDiscoverTargets", discover=True)
        while not (pages := [event for event in self.events if is_new_page(event)]):
            self.events.append(self.receive())
        page = pages[0]["params"]["targetInfo"]["targetId"]
        attached = self.call("Target.attachToTarget", targetId=page, flatten=True)
        self.session = {"sessionId": attached["sessionId"]}
        self.call("Page.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)
        self.call("Runtime.enable")
        self.call("Network.enable")
        self.call("Inspector.enable")

    def call(self, method, **params):
        """The result of a method of the DevTools protocol."""
        number = self.send(method, **params)
        while (answer := self.receive()).get("id") != number:
            self.events.append(answer)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def send(self, method, **params):
        """Ask for a method without waiting for its result; returns the number of the request."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params, **self.session}
        self.requests.write(json.dumps(message).encode() + b"\0")
        self.requests.flush()
        return self.number

    def receive(self):
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.answers], [], [], 600)
            assert ready, "Chromium does not answer"
            part = os.read(self.answers.fileno(), 1 << 16)
            assert part, "Chromium ended"
            self.rest += part
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def named(self, method):
        """What the events of a name say, in order."""
        return [event["params"] for event in self.events if event.get("method") == method]

    def open(self, url):
        """Go to an address and wait until all of the page is there."""
        loader = self.call("Page.navigate", url=url)["loaderId"]
        while not any(is_load(event, loader) for event in self.events):
            self.events.append(self.receive())

    def value(self, script):
        """The value of an expression in the page, or of the promise that it is."""
        done = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        errors = self.named("Runtime.exceptionThrown")
        assert not errors, errors
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def run(self, path, script):
        """The value of an expression in the page of a file."""
        self.open(path.as_uri())
        return self.value(script)

    def wait_for(self, condition):
        """Wait until an expression in the page is true; looked at once a frame."""
        self.value(
            "new Promise((done) => { const look = () => "
            f"(({condition}) ? done(true) : requestAnimationFrame(look)); look(); }})"
        )

    def begin(self):
        """Forget what was: the page, its events, how it is looked at."""
        self.open("about:blank")
        self.call("Emulation.clearDeviceMetricsOverride")
        self.call("Emulation.setEmulatedMedia", features=[])
        self.events.clear()

    def crash(self):
        """End the process of the page, as when it runs out of memory."""
        self.send("Page.crash")
        while not self.named("Inspector.targetCrashed"):
            self.events.append(self.receive())

    def give_files(self, selector, paths):
        """Choose files in a file input."""
        found = self.call("Runtime.evaluate", expression=f"document.querySelector({selector!r})")
        files = [str(path) for path in paths]
        self.call("DOM.setFileInputFiles", files=files, objectId=found["result"]["objectId"])

    def look(self, width=1280, height=900, dark=False, touch=False):
        """Set how large the page is, and whether the reader prefers dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if touch else 1,
            mobile=touch,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path, whole=True):
        """Write what is to be seen as a PNG file."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.requests.close()
        self.answers.close()
