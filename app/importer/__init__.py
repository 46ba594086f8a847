"""Past events from files: what a row means, how it is sent, and where to go on after a stop."""
