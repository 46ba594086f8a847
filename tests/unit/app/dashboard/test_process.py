"""The process of a dashboard: it says that a port is taken, serves, and stops with open streams."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import aiohttp
import pytest

from app.base.errors import PortTakenError, UptakeError
from app.base.settings import Settings
from app.commands.dashboard import dashboard
from app.customers.customer_registry import create_customers_file
from app.dashboard.process import serve_dashboard
from app.local.supervised import answers_200
from app.local.tcp_ports import free_port
from tests.support.dashboard import Events, SmallServer, customers


async def test_a_taken_port_is_said() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        settings = Settings(port=listener.getsockname()[1])
        with pytest.raises(PortTakenError, match="so the dashboard cannot listen there"):
            await serve_dashboard(settings, customers(), asyncio.Event())


async def test_a_stop_ends_open_streams_at_once() -> None:
    worker = SmallServer()
    await worker.start()
    worker.set("/v1/00000/ctr", b'{"customer":"00000","as_of_ms":1}')
    settings = Settings(port=0, worker_urls=f" {worker.url}, http://127.0.0.1:1 ")
    stop = asyncio.Event()
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve_dashboard(
            settings, customers(), stop, on_listening=lambda _host, port: listening.set_result(port)
        )
    )
    url = f"http://127.0.0.1:{await listening}"
    async with aiohttp.ClientSession() as session, session.get(f"{url}/dashboard/00000/ctr/stream") as stream:
        events = Events(stream)
        assert (await events.next())[0] == "message"
        stop.set()
        assert await events.ends()
        async with asyncio.timeout(8):
            await serving
    await worker.stop()


def test_the_command_serves_until_a_signal(tmp_path: Path) -> None:
    file = tmp_path / "uptake.toml"
    create_customers_file(file, "00000")
    port = free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith("UPTAKE_")}
    argv = [sys.executable, "-m", "app", "dashboard", "--port", str(port), "--customers-file", str(file)]
    process = subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, text=True)
    try:
        url = f"http://127.0.0.1:{port}"
        while not answers_200(f"{url}/health/ready", pid=process.pid):
            assert process.poll() is None
            time.sleep(0.05)
        with urllib.request.urlopen(url, timeout=10) as page:
            assert page.headers["Content-Type"].startswith("text/html")
        again = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=60)
        assert again.returncode == 2
        assert again.stderr.splitlines()[-1].startswith(f"uptake: port {port} on 127.0.0.1 is taken")
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
        assert process.returncode == 0, log
        assert "Traceback" not in log
    finally:
        process.kill()
        process.communicate()


def test_each_worker_and_collector_that_is_given_reaches_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[Settings] = []
    monkeypatch.setattr("app.dashboard.process.run_dashboard", started.append)
    monkeypatch.setattr("app.base.logs.setup_logging", lambda _: None)
    dashboard(worker=["http://a:1", "http://b:2"], collector=["http://c:3"], port=7, host="192.0.2.1")
    (settings,) = started
    assert settings.worker_urls == "http://a:1,http://b:2"
    assert settings.collector_urls == "http://c:3"
    assert (settings.port, settings.host) == (7, "192.0.2.1")


@pytest.mark.parametrize(
    "url", ["a:1", "https://a:1", "http://a:1/path", "http://0.0.0.0:1", ",", "http://a:0"]
)
def test_an_address_that_is_none_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(UptakeError, match="worker_urls: use http://host:port, with commas"):
        dashboard(worker=["http://a:1", url] if url != "," else [url])
