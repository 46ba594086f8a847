"""The proxy of the fault tests breaks a link as it says."""

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from app.local.tcp_ports import free_port
from tests.support.tcp_proxy import DELAY_SECONDS, Link, TcpProxy, next_try

HOST = "127.0.0.1"


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.request.recv(65_536):
                self.request.sendall(data)


@pytest.fixture
def proxy() -> Iterator[TcpProxy]:
    with socketserver.ThreadingTCPServer((HOST, 0), _Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with TcpProxy.running(free_port(HOST), server.server_address[1]) as running:
            yield running
        server.shutdown()


@pytest.fixture
def client(proxy: TcpProxy) -> Iterator[socket.socket]:
    with connected(proxy) as made:
        assert echoed(made) == b"ping"
        yield made


def connected(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), timeout=5)


def echoed(client: socket.socket, timeout_seconds: float = 5) -> bytes:
    client.settimeout(timeout_seconds)
    client.sendall(b"ping")
    return client.recv(100)


def test_cut_link_resets_old_and_new_connections(proxy: TcpProxy, client: socket.socket) -> None:
    proxy.make(Link.CUT)
    with pytest.raises(ConnectionError):
        echoed(client)
    with pytest.raises(ConnectionError), connected(proxy) as refused:  # the reset may come while it connects
        echoed(refused)
    assert proxy.resets > 2
    proxy.make(Link.OPEN)
    with connected(proxy) as again:
        assert echoed(again) == b"ping"


@pytest.mark.parametrize("is_old", [True, False])
def test_half_open_link_answers_nothing_and_is_reset_when_it_heals(
    proxy: TcpProxy, client: socket.socket, is_old: bool
) -> None:
    proxy.make(Link.HALF_OPEN)
    with client if is_old else connected(proxy) as broken:
        with pytest.raises(TimeoutError):
            echoed(broken, 0.3)
        assert proxy.held_bytes > 0
        proxy.make(Link.OPEN)
        broken.settimeout(5)
        with pytest.raises(ConnectionError):
            broken.recv(100)
    with connected(proxy) as again:
        assert echoed(again) == b"ping"


@pytest.mark.parametrize("is_old", [True, False])
def test_black_hole_delivers_after_it_heals(proxy: TcpProxy, client: socket.socket, is_old: bool) -> None:
    proxy.make(Link.BLACK_HOLE)
    with client if is_old else connected(proxy) as held:
        with pytest.raises(TimeoutError):
            echoed(held, 0.3)
        proxy.make(Link.OPEN)
        held.settimeout(5)
        assert held.recv(100) == b"ping"
    assert not is_old or proxy.held_bytes > 0


def test_slow_link_delays_both_directions(proxy: TcpProxy, client: socket.socket) -> None:
    proxy.make(Link.SLOW)
    started = time.monotonic()
    assert echoed(client) == b"ping"
    assert time.monotonic() - started >= 2 * DELAY_SECONDS


def test_thin_link_carries_50_kb_a_second(proxy: TcpProxy, client: socket.socket) -> None:
    proxy.make(Link.THIN)
    sent, started = 30_000, time.monotonic()
    client.sendall(b"x" * sent)
    received = 0
    while received < sent:
        received += len(client.recv(65_536))
    assert time.monotonic() - started >= sent / 50_000


def test_tcp_tries_again_after_pauses_that_double() -> None:
    assert next_try(0.0, 0.1, 0.2) == pytest.approx(0.2)
    assert next_try(0.0, 5.0, 0.2) == pytest.approx(6.2)
    assert next_try(0.0, 60.0, 0.2) == pytest.approx(102.2)
