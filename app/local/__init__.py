"""Everything on one machine: a local Kafka, supervised processes, and the doctor."""
