"""docs/switching.md as tests use it: its customers, its requests, and the blocks of its proxies."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from app.customers.customer import Customer
from app.customers.customer_registry import Customers
from tests.support.repository import ROOT
from tests.support.tracker import rules

PAGE: Final = (ROOT / "docs" / "switching.md").read_text(encoding="utf-8")
_PSEUDONYM_KEY: Final = "ab" * 32


@dataclass(frozen=True)
class PageRequest:
    """One request of the page."""

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def page_requests() -> list[PageRequest]:
    """Return all requests: one a line, or one a block where it has headers and a body."""
    found = []
    for block in blocks("http"):
        head, _, body = block.partition("\n\n")
        if not body:
            found += [PageRequest(*line.split(" ", 1)) for line in head.splitlines()]
            continue
        first, *headers = head.splitlines()
        named = dict(line.split(": ", 1) for line in headers)
        found.append(PageRequest(*first.split(" ", 1), named, body.strip()))
    return found


def page_customers(directory: Path) -> Customers:
    """Return the customer of the page, read as a customers file, and ``00000``, which has the defaults."""
    (text,) = blocks("toml")
    path = directory / "uptake.toml"
    path.write_text(re.sub(r'(?<=pseudonym_key = )"[^"]*"', f'"{_PSEUDONYM_KEY}"', text))
    path.chmod(0o600)
    return Customers({**Customers.load(path), "00000": Customer(rules(customer="00000"))})
