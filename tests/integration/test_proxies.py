"""The proxies of docs/switching.md, run by nginx and Caddy where they are installed: events get through, other pages do not."""

import asyncio
import contextlib
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from yarl import URL

from app.local.tcp_ports import free_port
from tests.support.switching import blocks, page_customers, page_requests
from tests.unit.app.collector.conftest import Running, running

PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
NGINX, CADDY, OPENSSL = (shutil.which(name, path=PATH) for name in ("nginx", "caddy", "openssl"))
CLOSED = (
    "/metrics",
    "/health/live",
    "/health/ready",
    "/openapi.json",
    "/v1/00000/refused",
    "/v1/00000/refused/",
)
# Each asks for a closed page in another spelling.
SPELLINGS = (
    "//metrics",
    "/api/../metrics",
    "/api/%2e%2e/metrics",
    "/v1/00000/events/../refused",
    "//v1/00000/refused",
)
NGINX_CONF = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{}}
http {{
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/uptake.conf;
}}
"""


def certificate(directory: Path) -> tuple[Path, Path]:
    """Make a certificate, signed by itself."""
    assert OPENSSL is not None
    key, cert = directory / "key.pem", directory / "cert.pem"
    names = ["-subj", "/CN=events.shop.example", "-days", "2"]
    subprocess.run(
        [OPENSSL, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, *names],
        check=True,
        capture_output=True,
    )
    return cert, key


def nginx_files(directory: Path, collector_port: int, port: int, tls_port: int) -> Path:
    """Write the block of the page with ports and certificate of the test; return the file that includes it."""
    (block,) = blocks("nginx")
    cert, key = certificate(directory)
    changes = {
        "server 127.0.0.1:8080;": f"server 127.0.0.1:{collector_port};",
        "    server 127.0.0.1:8081;\n": "",
        "listen 80;": f"listen 127.0.0.1:{port};",
        "listen 443 ssl": f"listen 127.0.0.1:{tls_port} ssl",
        "/etc/ssl/certs/events.shop.example.pem": str(cert),
        "/etc/ssl/private/events.shop.example.key": str(key),
    }
    for written, here in changes.items():
        assert block.count(written) == 1, written
        block = block.replace(written, here)
    (directory / "uptake.conf").write_text(block)
    conf = directory / "nginx.conf"
    conf.write_text(NGINX_CONF.format(directory=directory))
    return conf


def caddy_env(directory: Path) -> dict[str, str]:
    return {
        **os.environ,
        "HOME": str(directory),
        "XDG_DATA_HOME": str(directory),
        "XDG_CONFIG_HOME": str(directory),
    }


def run(*command: str | Path, env: dict[str, str] | None = None) -> None:
    """Run a command that must succeed."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[emerg]" not in done.stderr


@asynccontextmanager
async def proxy(*command: str | Path, port: int, env: dict[str, str] | None = None) -> AsyncIterator[None]:
    """Run a proxy until the block ends."""
    process = await asyncio.create_subprocess_exec(
        *command, env=env, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    said = asyncio.create_task(process.stderr.read())
    try:
        async with asyncio.timeout(30):
            while True:
                assert process.returncode is None, (await said).decode()
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.02)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        await said


async def check(collector: Running, address: str, tls: ssl.SSLContext | bool = True) -> None:
    """Send all requests of the page through the proxy, then ask for what it must not pass on."""
    headers = {"Host": "events.shop.example"}
    requests = page_requests()

    async def ask(method: str, target: str, body: str = "", more: dict[str, str] | None = None) -> int:
        url = URL(f"{address}{target}", encoded=True)
        named = {**headers, **(more or {})}
        async with collector.session.request(
            method, url, data=body or None, headers=named, ssl=tls
        ) as answer:
            await answer.read()
            return answer.status

    before = len(collector.events())
    for request in requests:
        status = await ask(request.method, request.target, request.body, request.headers)
        assert status in (200, 204), request
    assert len(collector.events()) == before + len(requests)
    for target, item in (
        ("/api/00000/click/a%2Fb/1/c%2Fd%20e", "c/d e"),
        ("//api/00000/click/u/1/55/", "55"),
        ("/api/00000/click/u/1/a,b%2Cc", "a,b,c"),
    ):
        assert await ask("GET", target) == 204
        assert collector.events()[-1].item == item
    assert await ask("GET", "/robots.txt") == 200
    assert await ask("GET", "/api/00000/click/u/x/55") == 400
    for target in (*CLOSED, *SPELLINGS):
        assert await ask("GET", target) == 404, target


@pytest.mark.skipif(NGINX is None or OPENSSL is None, reason="nginx and openssl are not installed")
async def test_nginx_takes_its_block_and_passes_events_on(tmp_path: Path) -> None:
    port, tls_port = free_port(), free_port()
    async with running(page_customers(tmp_path)) as collector:
        conf = nginx_files(tmp_path, collector.port, port, tls_port)
        options = ("-p", tmp_path, "-e", tmp_path / "start.log", "-c", conf)
        assert NGINX is not None
        run(NGINX, *options, "-t")
        async with proxy(NGINX, *options, port=port):
            await check(collector, f"http://127.0.0.1:{port}")
            context = ssl.create_default_context(cafile=tmp_path / "cert.pem")
            context.check_hostname = False
            await check(collector, f"https://127.0.0.1:{tls_port}", context)
        assert not (tmp_path / "access.log").exists()


@pytest.mark.skipif(CADDY is None, reason="Caddy is not installed")
async def test_caddy_takes_its_block_and_passes_events_on(tmp_path: Path) -> None:
    (block,) = blocks("caddyfile")
    assert CADDY is not None
    env = caddy_env(tmp_path)
    written = tmp_path / "Caddyfile"
    written.write_text(block)
    for command in ("adapt", "validate"):
        run(CADDY, command, "--config", written, "--adapter", "caddyfile", env=env)
    port = free_port()
    async with running(page_customers(tmp_path)) as collector:
        site = f"http://:{port} {{\n\tbind 127.0.0.1"
        here = re.sub(r"^events\.shop\.example, .* {", site, block, count=1)
        here = here.replace("127.0.0.1:8080 127.0.0.1:8081", f"127.0.0.1:{collector.port}")
        assert here.count(str(collector.port)) == 2
        served = tmp_path / "served"
        served.write_text("{\n\tadmin off\n\tauto_https off\n}\n" + here)
        async with proxy(CADDY, "run", "--config", served, "--adapter", "caddyfile", port=port, env=env):
            await check(collector, f"http://127.0.0.1:{port}")
