"""The parts that all Kafka clients share: connections, topics, topic ids, a probe, and a watch over clients."""
