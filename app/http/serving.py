"""The parts that the processes of our servers share: they end at a signal, and listen."""

import asyncio
import signal
from typing import Final

from aiohttp import web

from app.base.listening import cannot_listen

_BACKLOG: Final = 1024


def stop_signal() -> asyncio.Event:
    """Return what SIGTERM and SIGINT set from now on."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def listen(runner: web.BaseRunner, host: str, port: int, what: str) -> web.TCPSite:
    """Listen, and return the site. ``runner.addresses`` then has the port, also if ``port`` is 0. Raise UptakeError if it cannot."""
    site = web.TCPSite(runner, host, port, backlog=_BACKLOG)
    try:
        await site.start()
    except OSError as error:
        raise cannot_listen(host, port, what, error) from error
    return site
