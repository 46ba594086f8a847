"""Benchmarks of Uptake, compared with its peers or with another checkout.

Each benchmark is a module with a command of its own; `__main__.py` lists them. docs/benchmarks.md has the results.
"""
