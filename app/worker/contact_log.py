"""Logs when a worker loses its contact with Kafka, and when it has it again."""

import logging
from collections.abc import Callable
from typing import Any, Final

from mode import Service

from app.worker.contact import ContactRule

log = logging.getLogger(__name__)

_CHECK_SECONDS: Final = 1.0


class ContactLog(Service):
    """Checks the age of the contact every second. Lookups do not wait for it: each one asks the clock itself."""

    def __init__(self, rule: ContactRule, age_ms: Callable[[], int], bootstrap: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._rule, self._age_ms, self._bootstrap = rule, age_ms, bootstrap
        self._longest_ms = 0

    @Service.task
    async def _check_regularly(self) -> None:
        while not self.should_stop:
            self.check()
            await self.sleep(_CHECK_SECONDS)

    def check(self) -> None:
        """Log a change since the last check."""
        age_ms = self._age_ms()
        warning = self._rule.warning(age_ms)
        if warning is not None:
            if not self._longest_ms:
                log.warning("%s (%s)", warning, self._bootstrap)
            self._longest_ms = max(self._longest_ms, age_ms)
        elif self._longest_ms:
            log.warning("Kafka at %s answers again after %.0f s", self._bootstrap, self._longest_ms / 1000)
            self._longest_ms = 0
