"""Hosts and ports: what a setting may hold, and the URL of a server."""

import pytest

from app.base.addresses import (
    broker_addresses,
    checked_host,
    checked_url,
    http_url,
    is_wildcard,
    local_host,
)
from app.base.errors import UptakeError


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("0.0.0.0", "0.0.0.0"),
        ("worker_0", "worker_0"),
        ("w-1.example.com", "w-1.example.com"),
    ],
)
def test_host_is_an_address_or_a_name(given: str, host: str) -> None:
    assert checked_host(given) == host


@pytest.mark.parametrize(
    "given", ["", " ", "127.0.0.1:80", "[::1]:80", "http://a", "a b", "127.0.0.256", "1.2.3", "-a", "a..b"]
)
def test_other_hosts_are_refused(given: str) -> None:
    with pytest.raises(ValueError, match="IP address or a host name"):
        checked_host(given)


@pytest.mark.parametrize(
    "url", ["http://worker-0:6067", "http://[::1]:6067", "http://10.0.0.7:80/", "http://w"]
)
def test_advertised_url_is_kept(url: str) -> None:
    assert checked_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "worker-0:6067",
        "https://worker-0:6067",
        "http://:6067",
        "http://w:0",
        "http://w:70000",
        "http://w:6067/v1",
        "http://a@w:6067",
        "http://0.0.0.0:6067",
        "http://[::]:6067",
    ],
)
def test_advertised_url_that_leads_to_no_worker_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="http://host:port"):
        checked_url(url)


@pytest.mark.parametrize(
    ("host", "url", "local"),
    [
        ("127.0.0.1", "http://127.0.0.1:80", "127.0.0.1"),
        ("::1", "http://[::1]:80", "::1"),
        ("0.0.0.0", "http://0.0.0.0:80", "127.0.0.1"),
        ("::", "http://[::]:80", "::1"),
        ("w", "http://w:80", "w"),
    ],
)
def test_url_and_local_host_of(host: str, url: str, local: str) -> None:
    assert http_url(host, 80) == url
    assert local_host(host) == local
    assert is_wildcard(host) == (local != host)


def test_addresses_of_a_bootstrap_string() -> None:
    assert broker_addresses("a:1, b ,[::1]:3") == [("a", 1), ("b", 9092), ("::1", 3)]


@pytest.mark.parametrize("wrong", ["a:b", "a:0", "a:65536", ":9092"])
def test_address_of_no_broker_is_refused(wrong: str) -> None:
    with pytest.raises(UptakeError, match=f"'{wrong}' is not host:port"):
        broker_addresses(f"b:1,{wrong}")


def test_bootstrap_string_names_a_broker() -> None:
    with pytest.raises(UptakeError, match="names no broker"):
        broker_addresses(" , ")
