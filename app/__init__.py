"""The processes and tools around the core: collector, worker, lookups, importer, replay, local Kafka and the command line."""
