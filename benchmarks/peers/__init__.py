"""Peers that Uptake is compared with: each is a program of its own, in the best form that its documentation teaches."""
