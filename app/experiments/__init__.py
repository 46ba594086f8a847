"""Statistics of experiments. Pure: sums over the users of each variant in, differences and a verdict in words out."""
