"""Records that could not be folded: listed, shown and replayed."""
