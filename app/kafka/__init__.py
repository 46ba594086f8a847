"""The parts that all Kafka clients share: topics and their settings, topic ids, a probe for brokers, and stopping a client."""

import app.kafka.metadata_requests  # noqa: F401 - it replaces a request of all Kafka clients
