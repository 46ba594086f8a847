"""Of free parameters the last value wins. No other may have two: in the query, in query and form, with an encoded name."""

from typing import Any

import pytest

from app.collector.openapi import document
from events.wire_fields import FREE_PARAMETERS

VALUES = {"customer": ("00000", "strict")}
OTHERS = ("a1", "a2")


def _endpoints() -> list[tuple[str, str, str]]:
    """Return (method, target, parameter) of every query parameter in the OpenAPI document."""
    found = []
    examples = {"prefix": "api", "customer": "00000", "itemtype": "1", "source": "guest", "target": "known"}
    for path, item in document()["paths"].items():
        for method in ("get", "post"):
            parameters = [*item.get("parameters", []), *item.get(method, {}).get("parameters", [])]
            target = path
            for each in parameters:
                if each["in"] == "path":
                    name = each["name"]
                    target = target.replace(f"{{{name}}}", examples.get(name, "7"))
            found += [
                (method.upper(), target, each["name"])
                for each in parameters
                if each["in"] == "query" and method in item and each["name"] not in FREE_PARAMETERS
            ]
    return found


ENDPOINTS = _endpoints()


def test_every_kind_of_endpoint_is_tried() -> None:
    assert len(ENDPOINTS) > 400
    assert {target.split("/")[1] for _, target, _ in ENDPOINTS} == {"api", "uitracking", "v1"}


@pytest.mark.parametrize("way", ["query", "encoded", "form"])
async def test_parameter_with_two_values_is_refused_everywhere(collector: Any, way: str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for method, target, name in ENDPOINTS:
        first, second = VALUES.get(name, OTHERS)
        needed = "rating=7&" if "/rate/" in target and name != "rating" else ""
        needed += "customer=00000&" if target.startswith("/uitracking/") and name != "customer" else ""
        escaped = f"%{ord(name[0]):02X}{name[1:]}"
        if way == "form":
            if method == "GET" or target.startswith("/v1/"):  # these take no form
                continue
            response = await collector.ask(
                method, f"{target}?{needed}{name}={first}", data=f"{name}={second}", headers=form
            )
        else:
            other = name if way == "query" else escaped
            response = await collector.ask(
                method, f"{target}?{needed}{name}={first}&{other}={second}", headers=form
            )
        assert response.status == 400, (method, target, name)
        assert "more than once" in await response.text(), (method, target, name)
    assert collector.sink.records == []
