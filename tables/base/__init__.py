"""Base of all tables: the specification of one, and the rows of one user."""
