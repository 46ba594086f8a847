"""Click-through rates: panes of one partition, partial counts, and the windows that are merged from them."""
