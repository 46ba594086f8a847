"""Reads answers of a worker over HTTP: one, or each new CTR answer of a stream."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from app.base.errors import UptakeError

_AGAIN_SECONDS: Final = 2.0
_CONNECT_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 30.0
_SILENT_SECONDS: Final = 45.0
"""A stream is given up after three heartbeats that did not come."""
_UNAVAILABLE: Final = 503


class CtrUpdate(NamedTuple):
    """A new answer, or why none can be had now."""

    answer: dict[str, Any] | None
    problem: str | None


class CtrSource:
    """The answers of one worker to one question. ``path`` is what stands behind the customer, as parts that are not encoded."""

    def __init__(
        self,
        worker: str,
        customer: str,
        query: Mapping[str, str],
        key: str | None,
        path: Sequence[str] = ("ctr",),
    ) -> None:
        try:
            base = URL(worker)
            base.origin()
        except ValueError:
            raise UptakeError(
                f"{worker!r} is not the address of a worker; write it as http://127.0.0.1:6067"
            ) from None
        self._worker = worker
        parts = [quote(part, safe="") for part in ("v1", customer, *path)]
        self._url = base.joinpath(*parts, encoded=True).with_query(query)
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}

    async def once(self) -> dict[str, Any]:
        """Return the answer of now."""
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS, sock_connect=_CONNECT_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=self._headers) as session,
                session.get(self._url) as response,
            ):
                if response.status != 200:
                    raise await self._refusal(response)
                answer: dict[str, Any] = msgspec.json.decode(await response.read())
                return answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._silent(error) from None
        except msgspec.DecodeError:
            raise UptakeError(f"what answers at {self._worker} is not a worker of Uptake") from None

    async def updates(self) -> AsyncIterator[CtrUpdate]:
        """Yield each new answer, and reconnect for ever. Raise UptakeError if the worker never answered, or refuses."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENT_SECONDS)
        url = (self._url / "stream").with_query(self._url.query)
        has_answered = False
        async with aiohttp.ClientSession(timeout=timeout, headers=self._headers) as session:
            while True:
                reason = f"{self._worker} ended the stream"
                try:
                    async with session.get(url) as response:
                        if response.status == _UNAVAILABLE and has_answered:
                            reason = str(await self._refusal(response))
                        elif response.status != 200:
                            raise await self._refusal(response)
                        else:
                            has_answered = True
                            async for update in _updates(response.content):
                                yield update
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    if not has_answered:
                        raise self._silent(error) from None
                    reason = f"{self._worker} does not answer ({type(error).__name__})"
                yield CtrUpdate(None, reason)
                await asyncio.sleep(_AGAIN_SECONDS)

    def _silent(self, error: Exception) -> UptakeError:
        return UptakeError(
            f"no worker answers at {self._worker} ({type(error).__name__}); start one with `uptake up`, "
            f"or name another with --worker"
        )

    async def _refusal(self, response: aiohttp.ClientResponse) -> UptakeError:
        words = (await response.text(errors="replace")).strip()
        try:
            words = str(msgspec.json.decode(words)["sentence"])
        except (msgspec.DecodeError, KeyError, TypeError):
            words = words[:200]
        hint = "; set UPTAKE_API_KEY to the customer's key" if response.status == 401 else ""
        return UptakeError(f"{self._worker} answered {response.status}: {words}{hint}")


async def _updates(content: aiohttp.StreamReader) -> AsyncIterator[CtrUpdate]:
    """Yield the events of a stream. An answer may be longer than what aiohttp reads as one line."""
    waiting = b""
    pieces: list[bytes] = []
    async for piece in content.iter_any():
        pieces.append(piece)
        if not piece.endswith(b"\n"):
            continue  # an event ends with its line, so most of a long one is not searched again
        *blocks, waiting = b"".join((waiting, *pieces)).split(b"\n\n")
        pieces.clear()
        for block in blocks:
            fields = dict(line.partition(b": ")[::2] for line in block.split(b"\n"))
            if b"data" not in fields:
                continue
            data: dict[str, Any] = msgspec.json.decode(fields[b"data"])
            is_answer = fields.get(b"event") == b"ctr"
            yield CtrUpdate(data, None) if is_answer else CtrUpdate(None, str(data.get("detail")))
