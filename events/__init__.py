"""Events of the journal: their structs, their parsers, and the rules that they must pass.

Pure: no I/O, no clock, no Faust.
"""

from compiled.finder import install

install()
