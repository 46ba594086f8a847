"""``python -m app``: the command ``uptake``, for child processes that must run with the same Python."""

from app.cli import main

if __name__ == "__main__":
    main()
