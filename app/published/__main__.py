"""Writes docs/schemas/*.json and docs/asyncapi.json: ``python -m app.published [DOCS]``, which `make schemas` calls."""

import sys
from pathlib import Path

from app.published.asyncapi import document
from app.published.json_schemas import files, text


def _write(docs: Path) -> None:
    """Write the files, and remove schemas of events that no longer exist."""
    folder = docs / "schemas"
    folder.mkdir(exist_ok=True)
    wanted = {name: text(schema) for name, schema in files().items()}
    for path in folder.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, content in wanted.items():
        (folder / name).write_text(content, encoding="utf-8")
    (docs / "asyncapi.json").write_text(text(document()), encoding="utf-8")


if __name__ == "__main__":
    _write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "docs")
