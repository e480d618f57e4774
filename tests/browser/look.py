"""Opens a page in a real headless browser, as narrow and wide screens in light and dark, and says what it found.

    look.py URL FOLDER [CHROMIUM]

Writes FOLDER/{wide,narrow}-{light,dark}.png and whole-*.png, and prints one JSON object. It speaks the DevTools protocol over a pipe,
so nothing but the standard library is needed, and the browser asks nobody but the page's own address.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
import time

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--disable-lcd-text",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
]
DEADLINE = 60.0


class Browser:
    """A browser with one page."""

    def __init__(self, program, profile):
        down_read, self.down = os.pipe()
        self.up, up_write = os.pipe()

        def ends():
            # The browser reads from 3 and writes to 4. Both may be taken, so neither is closed before it is copied.
            read, write = os.dup(down_read), os.dup(up_write)
            os.dup2(read, 3)
            os.dup2(write, 4)

        self.process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=ends,
            pass_fds=(3, 4),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(down_read)
        os.close(up_write)
        os.set_blocking(self.up, False)
        self.rest = b""
        self.number = 0
        self.session = None
        self.events = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def message(self, until):
        while b"\0" not in self.rest:
            if time.monotonic() > until:
                raise TimeoutError("the browser does not answer")
            try:
                more = os.read(self.up, 1 << 20)
            except BlockingIOError:
                time.sleep(0.005)
                continue
            if not more:
                raise EOFError("the browser has ended")
            self.rest += more
        line, self.rest = self.rest.split(b"\0", 1)
        return json.loads(line)

    def ask(self, method, **params):
        self.number += 1
        question = {"id": self.number, "method": method, "params": params}
        if self.session:
            question["sessionId"] = self.session
        os.write(self.down, json.dumps(question).encode() + b"\0")
        until = time.monotonic() + DEADLINE
        while True:
            message = self.message(until)
            if message.get("id") == self.number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)

    def run(self, script):
        told = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in told:
            raise RuntimeError(told["exceptionDetails"])
        return told["result"].get("value")

    def wait(self, script, within=20.0):
        until = time.monotonic() + within
        while not self.run(script):
            if time.monotonic() > until:
                raise TimeoutError(f"it never came true: {script}")
            time.sleep(0.05)

    def open(self, url):
        self.ask("Page.navigate", url=url)
        self.wait("location.href !== 'about:blank' && document.readyState === 'complete'")

    def picture(self, path, whole=False):
        shot = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))

    def troubles(self):
        """What the page's console complains of, and what it asked of others."""
        found = []
        for event in self.events:
            params = event.get("params", {})
            if event.get("method") == "Log.entryAdded":
                found.append(params["entry"]["text"])
            elif event.get("method") == "Runtime.exceptionThrown":
                found.append(params["exceptionDetails"]["text"])
        return found

    def asked(self):
        requests = (e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent")
        return sorted({url for url in requests if not url.startswith("data:")})

    def close(self):
        self.process.kill()
        self.process.wait()


# What sticks out of the screen, and boxes of text that lie on each other in a row.
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
CLIPPED = """[...document.querySelectorAll('td, th, dd, li, summary, h1, h2, h3, p')].filter(box => {
    const r = box.getBoundingClientRect();
    return r.width > 0 && getComputedStyle(box.closest('thead') ?? box).position !== 'absolute'
        && (r.right > innerWidth + 1 || (box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).display !== 'inline'));
}).map(box => box.tagName + ': ' + box.textContent.trim().slice(0, 60)).slice(0, 10)"""
# Text that is too pale: contrast below 4.5 (WCAG 2.2, 1.4.3), by the nearest ground that is painted.
PALE = """(() => {
    const parse = text => { const n = text.match(/[\\d.]+/g).map(Number); return n.length > 3 && n[3] === 0 ? null : n; };
    const light = ([r, g, b]) => [r, g, b].map(c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = box => { for (; box; box = box.parentElement) {
        const c = parse(getComputedStyle(box).backgroundColor); if (c) return c; } return [255, 255, 255]; };
    const pale = new Set();
    for (const box of document.querySelectorAll('body *')) {
        const own = [...box.childNodes].some(n => n.nodeType === 3 && n.nodeValue.trim());
        if (!own || !box.getClientRects().length || ['SCRIPT', 'STYLE', 'NOSCRIPT'].includes(box.tagName)) continue;
        const [a, b] = [light(parse(getComputedStyle(box).color)), light(ground(box))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) pale.add(box.tagName + '.' + box.className + ' ' + contrast.toFixed(2));
    }
    return [...pale];
})()"""


def looks(browser, url, folder):
    found = {}
    for name, width, height in (("wide", 1280, 900), ("narrow", 400, 1200)):
        for scheme in ("light", "dark"):
            browser.ask(
                "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
            )
            browser.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            browser.open(url)
            browser.wait("document.getElementById('live').textContent === 'Live'")
            time.sleep(0.3)
            browser.picture(os.path.join(folder, f"{name}-{scheme}.png"))
            browser.picture(os.path.join(folder, f"whole-{name}-{scheme}.png"), whole=True)
            found[f"{name}-{scheme}"] = {
                "overflow": browser.run(OVERFLOW),
                "clipped": browser.run(CLIPPED),
                "pale": browser.run(PALE),
            }
    return found


def lives(browser, url):
    """The page renews itself, and what a reader has folded and focused stays as it was."""
    browser.open(url)
    browser.run("document.querySelector('details').open = !(window.before = document.querySelector('details').open)")
    browser.run("document.querySelector('details summary').focus()")
    browser.run("window.node = document.querySelector('tbody tr'); window.text = document.getElementById('main').textContent")
    browser.wait("document.getElementById('main').textContent !== window.text")
    kept = browser.run(
        "document.querySelector('details').open !== window.before && document.activeElement.tagName === 'SUMMARY'"
        " && document.contains(window.node)"
    )
    browser.run("document.getElementById('pause').click()")
    browser.run("window.text = document.getElementById('main').textContent")
    time.sleep(2.5)
    paused = browser.run("document.getElementById('main').textContent === window.text")
    return {"kept": kept, "paused": paused}


def without_script(browser, url):
    browser.ask("Emulation.setScriptExecutionDisabled", value=True)
    browser.ask("Page.navigate", url=url)
    time.sleep(1.0)
    browser.ask("Emulation.setScriptExecutionDisabled", value=False)
    rows = browser.run("document.querySelectorAll('tbody tr').length")
    lines = browser.run("document.querySelectorAll('polyline').length")
    button = browser.run("document.getElementById('pause').hidden")
    return {"rows": rows, "lines": lines, "pause_hidden": button}


def main():
    url, folder = sys.argv[1], sys.argv[2]
    program = sys.argv[3] if len(sys.argv) > 3 else "chromium"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        try:
            found = {"looks": looks(browser, url, folder), "live": lives(browser, url)}
            found["without_script"] = without_script(browser, url)
            found["troubles"] = browser.troubles()
            found["asked"] = browser.asked()
        finally:
            browser.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
