"""HTTP in: the tracker API, answered when Kafka has acknowledged the event."""
