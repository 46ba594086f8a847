"""Tables of users: one row per user and table, and the transitions that change it."""
