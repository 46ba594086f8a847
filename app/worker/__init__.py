"""The parts of a worker: Faust transport, restore, standbys, transactions, and where they are wired together."""
