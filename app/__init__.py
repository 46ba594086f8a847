"""How one reaches it: settings, wiring, command line, Kafka, collector and lookups."""
