"""Shared parts of the HTTP servers: connections, limits and refusals."""
