"""Lookups over HTTP: exclusions, filtered candidates, the user's page and CTR. Any worker answers them."""
