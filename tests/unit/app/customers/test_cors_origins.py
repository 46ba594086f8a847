"""An origin in the customers file is compared with what browsers send, so it takes that form."""

import pytest

from app.customers.cors_origins import normalised_origin


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://shop.example", "https://shop.example"),
        ("HTTPS://Shop.Example", "https://shop.example"),
        ("https://shop.example:443", "https://shop.example"),
        ("http://shop.example:80", "http://shop.example"),
        ("http://shop.example:443", "http://shop.example:443"),
        ("https://shop.example:08443", "https://shop.example:8443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:80", "http://[::1]"),
        ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
        ("http://[2001:0db8:0:0::0001]", "http://[2001:db8::1]"),
        ("https://xn--strae-oqa.example", "https://xn--strae-oqa.example"),
        ("https://m\u00fcller.example", "https://xn--mller-kva.example"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("*", "*"),
        ("null", "null"),
    ],
)
def test_origin_takes_the_form_that_browsers_send(written: str, sent: str) -> None:
    assert normalised_origin(written) == sent
    assert normalised_origin(sent) == sent


@pytest.mark.parametrize(
    "written",
    [
        "",
        "shop.example",
        "https://",
        "https://*.shop.example",
        "*.shop.example",
        "https://shop.example/",
        "https://shop.example/path",
        "https://shop.example?a",
        "https://user@shop.example",
        "https://shop.example:0",
        "https://shop.example:65536",
        "https://shop.example:x",
        "https://shop example",
        "https://shop.example\n",
        "https://" + "\u00fc" * 300,
        "//shop.example",
        "https://stra\u00dfe.example",
        "http://[1::2::3]",
        "http://[1.2.3.4]",
    ],
)
def test_what_no_browser_sends_is_refused(written: str) -> None:
    assert normalised_origin(written) is None
