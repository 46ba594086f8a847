"""How an event reaches Kafka durably: a sink with a lane for each partition, a spool on disk, and the public producer."""
