"""How a recommender asks: exclusions, candidates, what is known of a user, and CTR, answered by any worker."""
