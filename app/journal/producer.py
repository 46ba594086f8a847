"""Producer for Python back ends that write events straight into Kafka, without HTTP.

``Producer.send`` takes an event of events/model.py with raw user ids. It checks the event, replaces the ids with the customer's
pseudonyms, and returns when all in-sync replicas have the record. The record has the topic, key and partition that the collector
would choose. docs/producing.md describes the same steps for other languages.

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
import logging
import secrets
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from aiokafka.errors import KafkaError

from app.base.errors import NoBrokerError, UptakeError
from app.base.settings import Settings
from app.customers.customer_registry import Customers
from app.kafka.background_tasks import death_of, lose_batches
from app.kafka.clients import AIOKafkaProducer
from app.kafka.stopping import stop_within
from events.codec import encode
from events.model import EventBase
from events.partitions import partition_of
from events.pseudonym import journal_key
from events.rejections import Rejection
from events.rules import Rules
from events.seal import seal
from events.topics import HISTORY, JOURNAL

log = logging.getLogger(__name__)

_CONNECT_TIMEOUT_MS: Final = 10_000
_DELIVERY_TIMEOUT_MS: Final = 30_000
_MAX_PENDING: Final = 10_000  # events in flight; `send` of one more waits
_LINGER_MS: Final = 2
_BATCH_BYTES: Final = 262_144
_STOP_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 1.0


class Delivered(NamedTuple):
    """Position of a recorded event in Kafka. All in-sync replicas have it."""

    topic: str
    partition: int
    offset: int


class EventRefusedError(UptakeError):
    """The event breaks a rule and was not sent. Do not retry: the same event is refused again.

    ``rejection`` has the code, a sentence for people, and the parameter. docs/http-api.md lists the codes.
    """

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(f"{rejection.code}: {rejection.sentence}")
        self.rejection = rejection


class NotSentError(UptakeError):
    """Kafka did not take the event, or the producer is not open. The event is not recorded; it is safe to retry."""


class DeliveryUnknownError(UptakeError):
    """Kafka did not acknowledge the event, so it may be recorded or not.

    Retry only an event with an ``eid``: two records of a user with the same ``eid`` count once within 24 hours.
    """


class Producer:
    """Writes events of one or more customers to the journal. Create it inside a running event loop, and open it with ``async with``.

    Many tasks may call ``send`` at the same time; their events share requests to Kafka. Events of one user keep the order in which
    their ``send`` calls start. The Kafka client retries without writing a second record, but a second call of ``send`` writes one.

    - ``kafka``: bootstrap servers, as ``host:port``, separated by commas.
    - ``rules``: pseudonym keys and parsing rules, one ``Rules`` per customer. Events of other customers are refused.
    - ``linger_ms``: how long an event waits for others to share its request to Kafka.
    - ``connect_timeout_ms``: the limit for opening the producer, and for each request to Kafka.
    - ``delivery_timeout_ms``: the limit for each step of a ``send``: Kafka's client takes the event, then Kafka acknowledges it.
    - ``max_pending``: how many events may be in flight. ``send`` waits while this many are.
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
        self._replacing: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return a producer for the settings' Kafka (UPTAKE_KAFKA) and all customers of their file (UPTAKE_CUSTOMERS_FILE).

        The file is read once. Raises CustomersError if it is missing or invalid.
        """
        customers = Customers.load(settings.customers_file)
        return cls(settings.kafka, [customer.rules for customer in customers.values()])

    async def __aenter__(self) -> Self:
        """Connect to Kafka. Raises NoBrokerError if Kafka does not answer in time, or lacks a topic."""
        self._producer = await self._connect()
        self._replacing = asyncio.create_task(self._replace_dead())
        return self

    async def _replace_dead(self) -> None:
        """Open a new client when a background task of the present one ends. Events in flight end with DeliveryUnknownError."""
        while (dead := self._producer) is not None:
            error = await death_of(dead)
            log.error("%s; the producer is replaced", error)
            self._producer = None
            lose_batches(dead, error)
            await stop_within(dead, _STOP_SECONDS)
            while self._producer is None:
                try:
                    self._producer = await self._connect()
                except NoBrokerError as problem:
                    log.warning("%s", problem)
                    await asyncio.sleep(_RETRY_SECONDS)

    async def _connect(self) -> AIOKafkaProducer:
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
            await stop_within(producer, _STOP_SECONDS)
            if isinstance(error, KafkaError | OSError | TimeoutError):
                raise NoBrokerError(
                    f"Kafka at {self._kafka} does not answer ({type(error).__name__}); set UPTAKE_KAFKA to its address, "
                    f"or run `uptake doctor` for details"
                ) from error
            raise
        self._counts = {
            topic: len(metadata.partitions_for_topic(topic) or ()) for topic in (JOURNAL, HISTORY)
        }
        if not all(self._counts.values()):
            await stop_within(producer, _STOP_SECONDS)
            raise NoBrokerError(
                f"Kafka at {self._kafka} lacks the topic {min(self._counts, key=lambda name: self._counts[name])}; "
                f"`uptake topics --create` creates it"
            )
        return producer

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for events in flight, at most ``delivery_timeout_ms``, then close."""
        if self._replacing is not None:
            self._replacing.cancel()
            await asyncio.wait({self._replacing})
        producer, self._producer = self._producer, None
        if producer is not None:
            await stop_within(producer, self._delivery_timeout_s)

    async def send(
        self, event: EventBase, *, is_history: bool = False, has_consent: bool | None = None
    ) -> Delivered:
        """Write one event, and return its position when all in-sync replicas have it.

        ``user``, and ``target`` of a login, are raw ids; the user ``not_defined`` is anonymous. ``time_ms`` is when the event
        happened, in milliseconds since 1970 UTC; without it, the event happens when the broker receives its record.

        ``has_consent``: whether the user agreed to a profile; None if that is not known. Without consent, the event is anonymous, and
        so it is if the customer requires consent and it is not known.

        With ``is_history``, the event goes to the topic of imports. There ``time_ms`` is required, and may be any past time.

        Raises EventRefusedError if the event breaks a rule, NotSentError if Kafka did not take it, and DeliveryUnknownError if Kafka
        did not acknowledge it in time. An event whose ``send`` is cancelled may be recorded or not.
        """
        producer = self._producer
        if producer is None:
            raise NotSentError(
                "this producer is not open; use it inside `async with Producer(...)`"
                if self._replacing is None
                else "the producer is connecting to Kafka again"
            )
        sealed = self._sealed(event, has_consent)
        if is_history and not sealed.time_ms:
            sentence = "time_ms: an event of history needs a time"
            raise EventRefusedError(Rejection("bad_timestamp", sentence, "time_ms"))
        topic = HISTORY if is_history else JOURNAL
        count = self._counts[topic]
        key = journal_key(sealed, secrets.randbelow(count))
        value, partition = encode(sealed), partition_of(key, count)
        async with self._room:
            try:
                # Until this returns, the client has not taken the event: it waits for memory, or for the partition's leader.
                async with asyncio.timeout(self._delivery_timeout_s):
                    delivery: asyncio.Future[Any] = await producer.send(
                        topic, value, key, partition=partition
                    )
            except (KafkaError, TimeoutError) as error:
                raise NotSentError(f"Kafka takes no events at the moment ({type(error).__name__})") from error
            delivery.add_done_callback(_retrieve)
            try:
                async with asyncio.timeout(self._delivery_timeout_s):
                    metadata = await asyncio.shield(delivery)
            except TimeoutError:
                raise DeliveryUnknownError(
                    f"Kafka did not acknowledge it within {self._delivery_timeout_s:g} s; the producer still tries"
                ) from None
            except KafkaError as error:
                raise DeliveryUnknownError(
                    f"Kafka did not acknowledge it ({type(error).__name__}); open a new producer, because this one may be unusable"
                ) from error
        return Delivered(topic, partition, metadata.offset)

    def _sealed(self, event: EventBase, has_consent: bool | None = None) -> EventBase:
        rules = self._rules.get(event.customer)
        if rules is None:
            known = ", ".join(sorted(self._rules)) or "none"
            sentence = f"this producer has no keys of customer {event.customer!r}; it knows {known}"
            raise EventRefusedError(Rejection("unknown_customer", sentence, "customer"))
        consent = None if has_consent is None else "yes" if has_consent else "none"
        sealed = seal(event, rules, consent)
        if isinstance(sealed, Rejection):
            raise EventRefusedError(sealed)
        return sealed


def _retrieve(delivery: "asyncio.Future[Any]") -> None:
    """Read the error of a delivery after its ``send`` gave up, so that asyncio does not log it as never retrieved."""
    if not delivery.cancelled():
        delivery.exception()
