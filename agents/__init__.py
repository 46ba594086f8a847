"""Who remembers: Faust agents, thin over a partition that owns its overlay, its flush and its position."""
