"""How a file of events is sent to a collector: files are read into requests, and requests are sent in lanes, one a user."""
