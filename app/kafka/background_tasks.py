"""Watches the background tasks of Kafka clients. A client whose task has ended looks well, but reads or sends no more.

aiokafka logs an error in such a task, and ends a cancelled one silently. Calls then wait without end.
The cure is always a new client: the owner catches ``ClientDiedError``, which is a KafkaError, or ends the process.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, Final, TypeVar

from aiokafka.errors import KafkaError

from app.kafka.clients import AIOKafkaProducer

_LOOK_SECONDS: Final = 0.5

_T = TypeVar("_T")


class ClientDiedError(KafkaError):  # type: ignore[misc]  # aiokafka has no types
    """A background task of a Kafka client ended, so the client must be replaced. Its cause is the error of the task, if any."""


class _Looks:
    """Looks at the tasks of a client, one after another.

    A task that has ended counts as dead at the second look. At a rebalance, aiokafka ends some tasks itself and replaces them
    a few turns of the event loop later; a single look in between, as after SIGSTOP, would take that for a death.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._suspect: asyncio.Task[Any] | None = None

    def death(self) -> ClientDiedError | None:
        """Return an error if a task ended although its producer or consumer is in use; None if all run."""
        suspect, self._suspect = self._suspect, None
        if self._client._closed:
            return None
        for name, task in _tasks_of(self._client):
            if not task.done():
                continue
            if task is suspect:
                error = ClientDiedError(
                    f"the Kafka client {_core(self._client)._client_id} ended its task {name!r}"
                )
                error.__cause__ = None if task.cancelled() else task.exception()
                return error
            self._suspect = self._suspect or task
        return None


async def death_of(client: Any) -> ClientDiedError:
    """Wait until a background task of a producer or consumer ends, and return the error."""
    looks = _Looks(client)
    while (error := looks.death()) is None:
        await asyncio.sleep(_LOOK_SECONDS)
    return error


async def while_alive(client: Any, work: Coroutine[Any, Any, _T]) -> _T:
    """Return the result of ``work``, which uses a client. Cancel it and raise ClientDiedError if the client dies meanwhile."""
    task = asyncio.ensure_future(work)
    looks = _Looks(client)
    try:
        while not (await asyncio.wait({task}, timeout=_LOOK_SECONDS))[0]:
            if (error := looks.death()) is not None:
                raise error
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # asyncio would log an exception that was never retrieved
        del task  # its error refers to this frame: a cycle would keep the work's data in memory


def _tasks_of(client: Any) -> Iterator[tuple[str, "asyncio.Task[Any]"]]:
    """Yield the tasks that a started client needs, with names. Tasks that ended because they were not needed are left out."""
    tasks: dict[str, Any] = {"metadata": _core(client)._sync_task}
    if isinstance(client, AIOKafkaProducer):
        tasks["sender"] = client._sender._sender_task
    elif client._fetcher is not None:
        tasks["fetcher"] = client._fetcher._fetch_task
        tasks.update(_coordination_tasks(client))
    return ((name, task) for name, task in tasks.items() if task is not None)


def _coordination_tasks(consumer: Any) -> dict[str, Any]:
    coordinator = consumer._coordinator
    if coordinator is None:
        return {}
    if consumer._group_id is None:
        return {"positions": coordinator._reset_committed_task}
    tasks = {"coordination": coordinator._coordination_task}
    if (
        coordinator.member_id
    ):  # without a member id, heartbeats pause until the consumer joins the group again
        tasks["heartbeat"] = coordinator._heartbeat_task
    subscription = consumer._subscription.subscription
    assignment = None if subscription is None else subscription.assignment
    if assignment is not None and assignment.active:
        tasks["committed offsets"] = coordinator._commit_refresh_task
    return tasks


def cut(client: Any) -> None:
    """Cancel the background tasks and close the connections of a client that does not stop by itself."""
    for _, task in _tasks_of(client):
        task.cancel()
    for connection in list(_core(client)._conns.values()):
        connection.close()


def lose_batches(producer: AIOKafkaProducer, error: BaseException) -> None:
    """End the deliveries of a dead producer with an error. Whether their records are written is unknown."""
    producer._message_accumulator.fail_all(error)


def _core(client: Any) -> Any:
    """Return the AIOKafkaClient of a producer or consumer."""
    return client.client if isinstance(client, AIOKafkaProducer) else client._client
