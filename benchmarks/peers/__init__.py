"""What is ours compared with? Each peer is a program of its own, in the best form that its documentation teaches."""
