"""What our HTTP servers share: connections, limits and refusals."""
