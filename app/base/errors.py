"""Foreseen errors of the application: each message says what happened and what the reader can do."""

from typing import Final

EXIT_FORESEEN: Final = 2
"""The exit status of every command that ends with an UptakeError."""


class UptakeError(Exception):
    """An error with a message for people. The command line prints it without a traceback and exits with 2."""


class NoBrokerError(UptakeError):
    """No Kafka answers as needed, or the local one cannot run on this machine."""


class PortTakenError(UptakeError):
    """Another program uses a port that a process was to listen on."""

    def __init__(self, host: str, port: int, what: str) -> None:
        super().__init__(
            f"port {port} on {host} is taken by another program, so the {what} cannot listen there; "
            f"stop that program, or choose another port"
        )
        self.host = host
        self.port = port


class TopicMismatchError(UptakeError):
    """A topic on the broker has a different partition count than this deployment."""

    def __init__(self, topic: str, expected: int, found: int) -> None:
        super().__init__(
            f"topic {topic} has {found} partitions on the broker, expected {expected}. If all partitioned topics "
            f"have {found}, run with --partitions {found} (UPTAKE_PARTITIONS={found}). Otherwise use a new cluster, "
            f"or delete the topics and the data directories of the workers and start afresh"
        )
        self.topic = topic
        self.expected = expected
        self.found = found
