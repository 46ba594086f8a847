"""Customers of a deployment: their rules and keys, and the file that holds them."""
