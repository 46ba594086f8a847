"""Shared basis of every process: settings, errors, clocks, logs and durable files."""
