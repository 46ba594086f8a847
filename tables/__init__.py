"""What is remembered: states, the transitions that change them, window arithmetic, and the store that keeps them."""
