"""The commands of `uptake`, one module each; app/cli.py says what they take."""
