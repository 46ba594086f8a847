"""``python -m app``: the same as the command ``uptake``, for children that must run with this very Python."""

from app.cli import main

if __name__ == "__main__":
    main()
