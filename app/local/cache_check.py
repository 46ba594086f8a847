"""Checks the memory for rows: the size that a worker takes on this machine, and whether that of the running one is enough."""

import http.client
import json
from typing import Any, Final
from urllib.parse import urlsplit

from app.base.addresses import http_url, local_host
from app.base.cache_size import CacheSize, cache_size
from app.base.free_memory import FreeMemory, free_memory
from app.base.settings import WORKER_PORT, Settings
from app.local.check import Check

_MEBIBYTE: Final = 1_048_576
_OF_PROCESS: Final = 200 * _MEBIBYTE
"""What a worker takes in addition to its rows: Python with its libraries, and RocksDB's caches."""


def check_cache(settings: Settings) -> Check:
    """Check the cache of the worker that runs here, or else of one that would be started here."""
    url = f"{http_url(local_host(settings.host), settings.port or WORKER_PORT)}/v1/status"
    status = _status(url, settings.admin_key)
    return judge_cache(cache_size(settings.cache_bytes), free_memory(), status)


def judge_cache(size: CacheSize, free: FreeMemory | None, status: dict[str, Any] | None) -> Check:
    """Return the check. ``status``: the status of a running worker, None without one."""
    running = (status or {}).get("cache") or {}
    if running.get("is_too_small"):
        says = next(
            each for each in (status or {})["warnings"] if each.startswith("the cache of rows is too small")
        )
        says, _, cure = says.partition(". ")
        return Check("cache", "warn", f"the running worker says: {says}", cure)
    if running:
        held, most = running["held_bytes"] / _MEBIBYTE, running["max_bytes"] / _MEBIBYTE
        return Check(
            "cache", "ok", f"the running worker holds {held:,.0f} of {most:,.0f} MiB ({running['reason']})"
        )
    says = f"a worker keeps {size.size_bytes / _MEBIBYTE:,.0f} MiB of rows in memory ({size.reason})"
    if free is not None and 2 * size.size_bytes + _OF_PROCESS > free.size_bytes:
        most = max(_MEBIBYTE, (free.size_bytes - _OF_PROCESS) // 2)
        return Check(
            "cache",
            "warn",
            f"{says}, and may take twice as much and {_OF_PROCESS // _MEBIBYTE} MiB; "
            f"only {free.size_bytes / _MEBIBYTE:,.0f} MiB are free",
            f"give the worker more memory, or set UPTAKE_CACHE_BYTES to at most {most}",
        )
    return Check("cache", "ok", says)


def _status(url: str, key: str | None) -> dict[str, Any] | None:
    """Return the status of a worker; None if none answers, or if it wants another key."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=1.0)
    try:
        connection.request(
            "GET", parts.path, headers={} if key is None else {"Authorization": f"Bearer {key}"}
        )
        answer = connection.getresponse()
        found = json.loads(answer.read()) if answer.status == 200 else None
        return found if isinstance(found, dict) else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
