"""A User-Agent becomes one of a few families."""

import pytest

from app.collector.agent_families import agent_family

MOZILLA = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("user_agent", "family"),
    [
        ("", "none"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox"),
        (f"{MOZILLA} Chrome/126.0.0.0 Safari/537.36", "Chrome"),
        (f"{MOZILLA} Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0", "Edge"),
        (f"{MOZILLA} Chrome/126.0.0.0 Safari/537.36 OPR/112.0.0.0", "Opera"),
        (f"{MOZILLA} SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36", "Samsung Internet"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/604.1",
            "Safari",
        ),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "robot"),
        ("GuzzleHttp/7", "PHP"),
        ("PHP/8.2", "PHP"),
        ("curl/7.88.1", "curl"),
        ("python-requests/2.32", "Python"),
        ("Java/17.0.2", "Java"),
        ("okhttp/4.12.0", "Java"),
        ("Go-http-client/1.1", "Go"),
        ("axios/1.7.2", "Node"),
        ("maxmustermann", "other"),
        ("x" * 100_000, "other"),
    ],
)
def test_family(user_agent: str, family: str) -> None:
    assert agent_family(user_agent) == family
