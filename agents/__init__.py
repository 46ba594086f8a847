"""Faust agents, which are thin, and partitions, which own their overlay, their flush and their position."""

from compiled.finder import install

install()
