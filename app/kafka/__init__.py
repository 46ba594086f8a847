"""The parts that all Kafka clients share: topics and their settings, topic ids, a probe for brokers, and stopping a client."""
