"""What a table is: its specification, and the rows of one user."""
