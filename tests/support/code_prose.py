"""Reads Python as prose: docstrings, comments and string literals, each with its line."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from typing import Final

_QUESTION: Final = re.compile(
    r"(?:How|What|Which|Who|Whom|Whose|Where|When|Why|Is|Are|Do|Does|Has|Can|May)\b|[^.?]*\?"
)


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield each comment and each string of a module, with its line. Consecutive comment lines are one text."""
    yield from _comments(source)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def opens_with_question(source: str) -> str | None:
    """Return the first line of a module's docstring if it opens with a question, asked or only begun."""
    docstring = ast.get_docstring(ast.parse(source))
    if docstring is None or _QUESTION.match(docstring) is None:
        return None
    return docstring.splitlines()[0]


def _comments(source: str) -> Iterator[tuple[int, str]]:
    block: list[str] = []
    begins_at = ends_at = column = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line = token.start[0]
        if block and (line, token.start[1]) != (ends_at + 1, column):
            yield begins_at, "\n".join(block)
            block.clear()
        if not block:
            begins_at, column = token.start
        block.append(token.string.lstrip("#: "))
        ends_at = line
    if block:
        yield begins_at, "\n".join(block)
