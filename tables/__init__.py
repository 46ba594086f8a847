"""Tables: their states, the transitions that change them, window arithmetic, and the store that keeps them on disk."""

from compiled.finder import install

install()
