"""Click-through rates: panes of one partition, partial counts, and the windows merged from them."""
