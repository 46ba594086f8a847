"""What happened: the events of the journal, how they are read from the wire, and the rules they must pass.

Pure: no I/O, no clock, no Faust.
"""
