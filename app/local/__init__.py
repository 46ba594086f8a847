"""The whole system on one machine: a local Kafka, supervised processes, and the checks of `uptake doctor`."""
