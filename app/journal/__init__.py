"""Durable delivery of events to Kafka: a sink with a lane for each partition, a spool on disk, and the public producer."""
