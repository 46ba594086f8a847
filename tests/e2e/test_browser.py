"""A page in a real browser: what it sends by image tag, image script, fetch and sendBeacon reaches Kafka.

The page is docs/examples/tracking.html.
Its port differs from the collector's, so the browser treats the requests as cross-origin.
"""

import functools
import http.server
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.golden import CUSTOMERS_TOML, pseudonym
from tests.support.live_collector import LiveCollector, Record, live_collector

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

PAGE = Path(__file__).parents[2] / "docs" / "examples" / "tracking.html"
WRITTEN_COLLECTOR = "http://127.0.0.1:8080"
# A visitor clicks a recommendation and the basket's button, waits a moment and leaves for another page.
VISITOR = """
<script>
  document.querySelector('[data-item="155"]').click();
  document.getElementById("basket").click();
  setTimeout(() => { location.href = "/left.html"; }, 2500);
</script>
"""
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=900,900",
    # By itself it says that it is headless, and events of robots are left out.
    "--user-agent=Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36",
)


def browser() -> str:
    """Return the path of a Chromium; without one, skip the test."""
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        found = shutil.which(name)
        if found is not None:
            return found
    pytest.skip(
        "no Chromium on this machine (Debian: apt-get install chromium), so no page was opened in a browser"
    )


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def collector(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCollector]:
    browser()
    with live_collector(kafka, tmp_path_factory.mktemp("browser"), CUSTOMERS_TOML) as started:
        yield started


@pytest.fixture
def site(collector: LiveCollector, tmp_path: Path) -> Iterator[str]:
    """Serve the shop on a port of its own, so that the collector is another origin for the browser."""
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(WRITTEN_COLLECTOR) == 2
    page = text.replace(WRITTEN_COLLECTOR, collector.url)
    (tmp_path / "tracking.html").write_text(page.replace("</body>", f"{VISITOR}</body>"), encoding="utf-8")
    (tmp_path / "left.html").write_text("<!doctype html><title>elsewhere</title>", encoding="utf-8")
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def open_page(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Return ``open(url, *flags)``: a Chromium with a profile of its own, which ends with the test."""
    opened: list[subprocess.Popen[bytes]] = []

    def start(url: str, *flags: str) -> "subprocess.Popen[bytes]":
        profile = tmp_path / f"profile-{len(opened)}"
        argv = [browser(), *FLAGS, f"--user-data-dir={profile}", *flags, url]
        with (tmp_path / "browser.log").open("ab") as log:
            opened.append(
                subprocess.Popen(argv, stdout=log, stderr=log, env={**os.environ, "HOME": str(tmp_path)})
            )
        return opened[-1]

    yield start
    for process in opened:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def kinds(records: list[Record]) -> list[str]:
    return sorted(str(record.value["type"]) for record in records)


def test_a_pages_events_arrive(
    collector: LiveCollector, site: str, open_page: Callable[..., "subprocess.Popen[bytes]"], tmp_path: Path
) -> None:
    open_page(f"{site}/tracking.html", "--remote-debugging-port=0")
    expected = ["basket", "click", "clickrecommended", "consume", "rendered", "viewed", "viewed", "viewed"]
    deadline = time.monotonic() + 60
    while kinds(records := collector.records()) != expected:
        assert time.monotonic() < deadline, (kinds(records), (tmp_path / "browser.log").read_text()[-2000:])
        time.sleep(0.5)

    events = {str(record.value["type"]): record.value for record in records}
    assert events["click"]["user"] == pseudonym("00000", "max.musterman")
    assert (events["click"]["item"], events["click"]["categorypath"]) == ("100", "Shoes/Red")
    by_script = [record.value for record in records if record.value["type"] != "click"]
    assert len({event["user"] for event in by_script}) == 1
    assert all(event["eid"] for event in by_script)
    assert len({event["eid"] for event in by_script}) == len(by_script)
    rendered = events["rendered"]
    assert (rendered["items"], rendered["scenario"], rendered["row"], rendered["rank"]) == (
        ["128", "129", "155"],
        "also_bought",
        0,
        0,
    )
    clicked = events["clickrecommended"]
    assert (clicked["item"], clicked["scenario"], clicked["rank"]) == ("155", "also_bought", 2)
    assert events["basket"]["categorypath"] == "Shoes/Red"
    viewed = [event for event in by_script if event["type"] == "viewed"]
    assert {(event["items"][0], event["rank"]) for event in viewed} == {("128", 0), ("129", 1), ("155", 2)}
    assert all(event["received_ms"] - 10_000 < event["time_ms"] < event["received_ms"] for event in viewed)
    assert 5 <= events["consume"]["percentage"] <= 60
