"""Access to the dashboard: open to programs of this machine, elsewhere only to people who logged in.

A customer's API key opens the customer's data, the operators' key the health of the deployment. A request that a proxy passed on,
or that names another host, came from elsewhere, also where the server listens on loopback.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from aiohttp import web

from app.base.clock import Clock
from app.base.settings import LOOPBACK
from app.customers.customer import Customer
from app.dashboard.sessions import SESSION_SECONDS, Session, Sessions
from app.http.bodies import content_type, read_body
from app.http.operators import Operators, is_same_secret
from events.rejections import RefusedError, Rejection

CUSTOMER_COOKIE: Final = "uptake_dashboard"
OPERATOR_COOKIE: Final = "uptake_dashboard_operator"

_PATH: Final = "/dashboard"
_FORWARDED: Final = (
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "Via",
)
"""Headers by which proxies say that they passed a request on."""
_SAME_SITE: Final = ("same-origin", "none")
_MAX_BODY_BYTES: Final = 4_096
_OPERATOR: Final = "operator"


class _LoginBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON of a login: a customer and its API key, or ``operator`` and the operators' key."""

    key: str
    customer: str | None = None
    operator: bool = False


class Access:
    """The rule of one server: who may read what, and the logins."""

    def __init__(
        self,
        customers: Mapping[str, Customer],
        operators: Operators,
        clock: Clock,
        *,
        body_timeout_s: float,
    ) -> None:
        self._customers, self._operators = customers, operators
        self._body_timeout_s = body_timeout_s
        self._sessions = Sessions("customer", clock)
        self._operator_sessions = Sessions(_OPERATOR, clock)

    def is_local(self, request: web.BaseRequest) -> bool:
        """Return whether a request comes from this machine, not from a proxy and not by another name of this host."""
        return (
            self._operators.is_private
            and _host_of(request) in LOOPBACK
            and not any(name in request.headers for name in _FORWARDED)
        )

    def session(self, request: web.BaseRequest) -> Session | None:
        """Return the session of a customer, if the request has one."""
        return self._sessions.read(request.cookies.get(CUSTOMER_COOKIE), self._api_key_of)

    def customer(self, request: web.BaseRequest, name: str) -> Customer:
        """Return a customer whose data the sender may read; raise RefusedError otherwise."""
        found = self._customers.get(name)
        if not self.is_local(request):
            session = self.session(request)
            # An unknown customer gets the same answer as one without a session, so that strangers cannot find out who the customers are.
            if session is None or found is None or session.holder != found.id:
                raise RefusedError("unauthorized", "log in with this customer's API key")
        if found is None:
            raise RefusedError("unknown_customer", f"there is no customer {name[:64]!r}", "customer")
        return found

    def may_operate(self, request: web.BaseRequest) -> bool:
        """Return whether the sender may read the health of the deployment."""
        if self.is_local(request):
            return True
        cookie = request.cookies.get(OPERATOR_COOKIE)
        if self._operator_sessions.read(cookie, lambda _: self._operators.key) is not None:
            return True
        # Behind a proxy a server on loopback is not private.
        return Operators(is_private=False, key=self._operators.key).may_read(request)

    def check_operator(self, request: web.BaseRequest) -> None:
        """Raise RefusedError unless the sender may read the health of the deployment."""
        if not self.may_operate(request):
            raise RefusedError(
                "unauthorized", "log in with the operators' key (UPTAKE_ADMIN_KEY), or send it as Bearer"
            )

    def page(self, request: web.BaseRequest) -> dict[str, object]:
        """Return what the page must know of its reader, as JSON."""
        is_local, session = self.is_local(request), self.session(request)
        known = list(self._customers) if is_local else [] if session is None else [session.holder]
        return {
            "loopback": is_local,
            "customers": known,
            "needs_key": not is_local and session is None,
            "operator": self.may_operate(request),
            "expires_ms": None if session is None else session.expires_ms,
        }

    async def login(self, request: web.Request) -> web.Response:
        """Check a key and set the cookie of a session; raise RefusedError if the key is wrong."""
        body = await self._login_body(request)
        response = web.Response(status=204)
        if body.operator:
            if not is_same_secret(body.key, self._operators.key):
                raise RefusedError("unauthorized", "this is not the operators' key")
            name, value = OPERATOR_COOKIE, self._operator_sessions.issue(_OPERATOR, body.key)
        else:
            customer = self._customers.get(body.customer or "")
            if not is_same_secret(body.key, None if customer is None else customer.api_key):
                raise RefusedError("unauthorized", "the customer or the key is wrong")
            assert customer is not None
            name, value = CUSTOMER_COOKIE, self._sessions.issue(customer.id, body.key)
        response.set_cookie(
            name,
            value,
            max_age=SESSION_SECONDS,
            path=_PATH,
            httponly=True,
            samesite="Strict",
            secure=_came_by_https(request),
        )
        return response

    async def logout(self, request: web.Request) -> web.Response:
        """Remove the cookies of both kinds of session."""
        _check_site(request)
        response = web.Response(status=204)
        for name in (CUSTOMER_COOKIE, OPERATOR_COOKIE):
            response.del_cookie(
                name, path=_PATH, httponly=True, samesite="Strict", secure=_came_by_https(request)
            )
        return response

    async def _login_body(self, request: web.Request) -> _LoginBody:
        _check_site(request)
        if content_type(request) != "application/json":  # no page of another site can send this type
            raise RefusedError("bad_body", "a login is JSON: send Content-Type: application/json")
        raw = await read_body(request, limit_bytes=_MAX_BODY_BYTES, timeout_seconds=self._body_timeout_s)
        if isinstance(raw, Rejection):
            raise RefusedError(raw.code, raw.sentence)
        try:
            return msgspec.json.decode(raw, type=_LoginBody)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # its message may hold the key
            raise RefusedError(
                "bad_body",
                'a login is {"customer": "00000", "key": "..."} or {"operator": true, "key": "..."}',
            ) from None

    def _api_key_of(self, customer_id: str) -> str | None:
        customer = self._customers.get(customer_id)
        return None if customer is None else customer.api_key


def _check_site(request: web.BaseRequest) -> None:
    """Refuse what a page of another site sends. A browser says so by itself."""
    if request.headers.get("Sec-Fetch-Site", "none") not in _SAME_SITE:
        raise RefusedError("forbidden", "only the page of the dashboard may send this")


def _host_of(request: web.BaseRequest) -> str:
    """Return the name of the host that the client asked, without the port."""
    host = request.headers.get("Host", "").lower()
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _came_by_https(request: web.BaseRequest) -> bool:
    """Return whether the client, or the proxy before this server, was asked by https."""
    by_proxy = request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip().lower()
    return (
        request.secure or by_proxy == "https" or "proto=https" in request.headers.get("Forwarded", "").lower()
    )
