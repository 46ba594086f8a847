"""What is remembered of one user: a row a user and table, and the transitions that change it."""
