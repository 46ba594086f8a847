"""Event intake over HTTP: a request is answered when its events are durable, or refused."""
