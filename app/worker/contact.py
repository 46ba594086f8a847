"""Contact of a worker with Kafka: how long ago it last had any, and what its lookups may answer since then.

Pure: it receives what was answered and when (monotonic ms), and returns ages. A worker without contact may have lost its partitions
to another worker, and does not see new events. Its own map of owners cannot show this, so only the clock decides.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.worker.visibility import Visibility


@dataclass(frozen=True, slots=True)
class ContactRule:
    """What lookups answer at an age of the contact: a fresh answer, a marked one, or none."""

    fresh_ms: int
    """Up to this age answers are fresh. It is below the session timeout: until then no other worker can own the partition."""
    refuse_ms: int
    """Above this age (and above ``fresh_ms``) there is no answer."""

    @classmethod
    def of(cls, session_timeout_ms: int, max_stale_ms: int) -> "ContactRule":
        """Return the rule of a deployment: the last third of the session timeout is the margin."""
        return cls(session_timeout_ms * 2 // 3, max_stale_ms)

    def stale_ms(self, age_ms: int) -> int | None:
        """Return the age that an answer must carry; None while answers are fresh."""
        return age_ms if age_ms > self.fresh_ms else None

    def refuses(self, age_ms: int) -> bool:
        """Return whether the contact is too old for any answer."""
        return age_ms > max(self.refuse_ms, self.fresh_ms)

    def warning(self, age_ms: int) -> str | None:
        """Return a sentence for an operator; None while answers are fresh."""
        if self.stale_ms(age_ms) is None:
            return None
        effect = "are refused" if self.refuses(age_ms) else "carry stale_ms"
        return (
            f"Kafka has not answered this worker for {age_ms // 1000} s: its lookups {effect} until it does"
        )


def _none_waits(_: tuple[str, int]) -> bool:
    return False


class Contact:
    """When the group's coordinator and the leaders of the source partitions last answered the consumer.

    The consumer's thread writes the times, the worker's loop reads them.
    """

    def __init__(self, started_ms: int, visibility: Visibility | None = None) -> None:
        self._group_ms = started_ms
        self._leaders_ms: dict[int, dict[str, int]] = {}
        self.visibility = visibility or Visibility(lambda _topic, _number: 0)
        """What the leaders said of records that an open transaction hides."""
        self.waits: Callable[[tuple[str, int]], bool] = _none_waits
        """Whether fetched records of a (topic, partition) wait to be folded. Until then it is not fetched, which says nothing of Kafka."""

    def joined(self, sent_ms: int) -> None:
        """Note that this worker joined a generation of the group, by a request sent at ``sent_ms``."""
        self._leaders_ms = {}
        self.visibility.forget()
        self.heard_group(sent_ms)

    def heard_group(self, sent_ms: int) -> None:
        """Note that the coordinator accepted a request sent at ``sent_ms``. It counts the session from then or later."""
        self._group_ms = max(self._group_ms, sent_ms)

    def heard_leader(self, topic: str, partition: int, seen_ms: int) -> None:
        """Note that the leader of a source partition reported what was there at ``seen_ms``."""
        topics = self._leaders_ms.setdefault(partition, {})
        topics[topic] = max(topics.get(topic, seen_ms), seen_ms)

    def age_ms(self, now_ms: int, partitions: Iterable[int]) -> int:
        """Return the age of the oldest contact that these partitions depend on: the group's, or a leader's."""
        oldest_ms = self._group_ms
        for number in partitions:
            for topic, seen_ms in tuple(self._leaders_ms.get(number, {}).items()):
                if seen_ms < oldest_ms and not self.waits((topic, number)):
                    oldest_ms = seen_ms
        return max(0, now_ms - oldest_ms)
