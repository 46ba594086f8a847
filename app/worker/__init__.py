"""The parts of a worker: Faust transport, restore, standbys, transactions, and their wiring."""
