"""Serves ``GET /v1/{customer}/refused``: what this collector refused of a customer. It holds no raw ids."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from app.collector.endpoints import REFUSED
from app.collector.refused_requests import RefusedRequests
from app.customers.customer import Customer
from app.http.operators import Operators, has_key
from app.http.refusals import SAFE_HEADERS
from events.rejections import Rejection

METHODS: Final = "GET, HEAD"

_PARTS: Final = REFUSED.split("/")
_NO_KEY: Final = Rejection("unauthorized", "send the customer's key: Authorization: Bearer <key>")


def customer_of(raw_path: str) -> str | None:
    """Return the customer's id in the path of such a page; None for another path."""
    parts = raw_path.removesuffix("/").split("/")
    is_page = len(parts) == len(_PARTS) and (*parts[:2], parts[3]) == (*_PARTS[:2], _PARTS[3])
    return parts[2] or None if is_page else None


class RefusedPage:
    """The pages of all customers. They are open on loopback; elsewhere the customer's API key opens its own."""

    def __init__(
        self, refused: RefusedRequests, customers: Mapping[str, Customer], operators: Operators
    ) -> None:
        self._refused, self._customers, self._is_private = refused, customers, operators.is_private

    def answer(self, request: web.BaseRequest, customer_id: str) -> web.Response | Rejection:
        """Return the page, or why it cannot be had."""
        if request.method not in METHODS.split(", "):
            return Rejection("method_not_allowed", f"{METHODS} are taken here, not {request.method[:16]}")
        customer = self._customers.get(customer_id)
        # An unknown customer gets the same answer as a wrong key, so that strangers cannot find out who the customers are.
        if not self._is_private and not has_key(request, None if customer is None else customer.api_key):
            return _NO_KEY
        if customer is None:
            return Rejection("unknown_customer", f"there is no customer {customer_id[:64]!r}", "customer")
        return web.Response(
            body=self._refused.page(customer),
            headers={"Content-Type": "application/json", **SAFE_HEADERS},
        )
