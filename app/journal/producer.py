"""How does a Python back end write events straight into Kafka, without HTTP: typed, checked, and delivered when ``send`` returns.

It takes the events of events/model.py with raw user ids, puts the customer's pseudonyms in their place, and writes them where the
collector would: same topic, same key, same partition. docs/producing.md tells the same for other languages.

    import asyncio

    from app.journal.producer import Producer
    from app.base.settings import Settings
    from events.model import Click


    async def main() -> None:
        async with Producer.of(Settings()) as producer:
            await producer.send(Click(customer="00000", user="maxmustermann", item="7", eid="a-1"))


    asyncio.run(main())
"""

import asyncio
import secrets
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from app.base.errors import NoBrokerError, UptakeError
from app.base.settings import Settings
from app.customers.customer_registry import Customers
from app.kafka.stopping import stop_within
from events.codec import encode
from events.model import EventBase
from events.partitions import partition_of
from events.pseudonym import journal_key
from events.rejections import Rejection
from events.rules import Rules
from events.seal import seal
from events.topics import HISTORY, JOURNAL

_CONNECT_TIMEOUT_MS: Final = 10_000
_DELIVERY_TIMEOUT_MS: Final = 30_000
_MAX_PENDING: Final = 10_000  # events on their way at once: `send` of one more waits
_LINGER_MS: Final = 2
_BATCH_BYTES: Final = 262_144


class Delivered(NamedTuple):
    """Where an event stands, on all in-sync replicas."""

    topic: str
    partition: int
    offset: int


class EventRefusedError(UptakeError):
    """The event breaks a rule; nothing was sent, and sending it again is of no use. ``rejection`` names code and parameter."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(f"{rejection.code}: {rejection.sentence}")
        self.rejection = rejection


class NotSentError(UptakeError):
    """Kafka took nothing: the event is not recorded, and may be sent again."""


class DeliveryUnknownError(UptakeError):
    """The event was handed on and not acknowledged: it may be recorded or not. With an ``eid`` it may be sent again."""


class Producer:
    """Writes events of some customers into the journal. Make it inside a running loop, use it with ``async with``.

    Idempotent: within one Producer a retry never becomes a second record. Events of one user that are sent one after another
    keep their order.
    """

    def __init__(
        self,
        kafka: str,
        rules: Iterable[Rules],
        *,
        linger_ms: int = _LINGER_MS,
        connect_timeout_ms: int = _CONNECT_TIMEOUT_MS,
        delivery_timeout_ms: int = _DELIVERY_TIMEOUT_MS,
        max_pending: int = _MAX_PENDING,
    ) -> None:
        self._kafka = kafka
        self._rules = {each.customer: each for each in rules}
        self._linger_ms = linger_ms
        self._connect_timeout_s = connect_timeout_ms / 1000
        self._delivery_timeout_s = delivery_timeout_ms / 1000
        self._room = asyncio.Semaphore(max_pending)
        self._counts: dict[str, int] = {}
        self._producer: AIOKafkaProducer | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the producer for Kafka and customers file of the settings (UPTAKE_KAFKA, UPTAKE_CUSTOMERS_FILE)."""
        customers = Customers.load(settings.customers_file)
        return cls(settings.kafka, [customer.rules for customer in customers.values()])

    async def __aenter__(self) -> Self:
        """Connect; raise NoBrokerError when Kafka does not answer or lacks the topics."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._kafka,
            client_id="uptake-producer",
            acks="all",
            enable_idempotence=True,
            linger_ms=self._linger_ms,
            max_batch_size=_BATCH_BYTES,
            request_timeout_ms=int(self._connect_timeout_s * 1000),
        )
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await producer.start()
                metadata = await producer.client.fetch_all_metadata()
        except BaseException as error:
            await stop_within(producer, 1.0)
            if isinstance(error, KafkaError | OSError | TimeoutError):
                raise NoBrokerError(
                    f"Kafka at {self._kafka} does not answer ({type(error).__name__}); set UPTAKE_KAFKA to where it is, "
                    f"and see what `uptake doctor` says"
                ) from error
            raise
        self._counts = {
            topic: len(metadata.partitions_for_topic(topic) or ()) for topic in (JOURNAL, HISTORY)
        }
        if not all(self._counts.values()):
            await stop_within(producer, 1.0)
            raise NoBrokerError(
                f"Kafka at {self._kafka} lacks the topic {min(self._counts, key=lambda name: self._counts[name])}; "
                f"`uptake topics --create` makes it"
            )
        self._producer = producer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what is on its way, within the time for a delivery, and close."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await stop_within(producer, self._delivery_timeout_s)

    async def send(self, event: EventBase, *, is_history: bool = False) -> Delivered:
        """Write one event and return when all in-sync replicas have it.

        ``user``, and ``target`` of a login, are raw ids; ``not_defined`` is nobody. ``is_history`` writes to the topic of imports:
        there ``time_ms`` may be any past time, and it must be set. Raises EventRefusedError, NotSentError or DeliveryUnknownError.
        """
        producer = self._producer
        if producer is None:
            raise NotSentError("this producer is not open; use it inside `async with Producer(...)`")
        sealed = self._sealed(event)
        if is_history and not sealed.time_ms:
            sentence = "time_ms: an event of history needs its time"
            raise EventRefusedError(Rejection("bad_timestamp", sentence, "time_ms"))
        topic = HISTORY if is_history else JOURNAL
        count = self._counts[topic]
        key = journal_key(sealed, secrets.randbelow(count))
        value, partition = encode(sealed), partition_of(key, count)
        async with self._room:
            try:
                # Until it returns, nothing was taken: it waits only for memory, or for the leader of the partition.
                async with asyncio.timeout(self._delivery_timeout_s):
                    delivery: asyncio.Future[Any] = await producer.send(
                        topic, value, key, partition=partition
                    )
            except (KafkaError, TimeoutError) as error:
                raise NotSentError(f"Kafka takes nothing at the moment ({type(error).__name__})") from error
            delivery.add_done_callback(_retrieve)
            try:
                async with asyncio.timeout(self._delivery_timeout_s):
                    metadata = await asyncio.shield(delivery)
            except TimeoutError:
                raise DeliveryUnknownError(
                    f"not acknowledged within {self._delivery_timeout_s:g} s; it is still being tried"
                ) from None
            except KafkaError as error:
                raise DeliveryUnknownError(
                    f"Kafka did not acknowledge it ({type(error).__name__}); open a new producer, this one may be unusable"
                ) from error
        return Delivered(topic, partition, metadata.offset)

    def _sealed(self, event: EventBase) -> EventBase:
        rules = self._rules.get(event.customer)
        if rules is None:
            known = ", ".join(sorted(self._rules)) or "none"
            sentence = f"this producer has no keys of customer {event.customer!r}; it knows {known}"
            raise EventRefusedError(Rejection("unknown_customer", sentence, "customer"))
        sealed = seal(event, rules)
        if isinstance(sealed, Rejection):
            raise EventRefusedError(sealed)
        return sealed


def _retrieve(delivery: "asyncio.Future[Any]") -> None:
    """Look at the error of a delivery that nobody waits for any more, so that asyncio does not complain of it."""
    if not delivery.cancelled():
        delivery.exception()
