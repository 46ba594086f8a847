"""Commands of `uptake`, one module each; app/cli.py lists them."""
