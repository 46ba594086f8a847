"""Folds: for each kind of event, the transitions of all tables that it changes, in order."""
