"""The demo: starts everything, replays data/obd, and compares the counts with those of the files."""
