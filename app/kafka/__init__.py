"""The parts that all Kafka clients share: connections, topics, topic ids, a probe, and a watch over clients."""

import app.kafka.metadata_requests  # noqa: F401 - it replaces a request of all Kafka clients
