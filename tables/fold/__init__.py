"""What one event changes: the transitions of every table that it concerns, in order."""
