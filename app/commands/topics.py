"""`uptake topics`: compare the topics on the broker with those that Uptake needs."""

import asyncio
import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from app.base.logs import setup_logging
from app.commands import options
from app.commands.options import make_settings
from app.kafka.topic_config import Comparison
from app.kafka.topics import compare_topics, ensure_topics
from events.topics import DAY_MS


def topics(
    kafka: options.Kafka = None,
    partitions: options.PartitionsOption = None,
    replication: options.Replication = None,
    create: Annotated[bool, typer.Option("--create", help="create the topics that are missing")] = False,
    as_json: options.AsJson = False,
    log_level: options.LogLevel = None,
) -> None:
    """Show the topics that Uptake needs, and how the broker differs. Exits with 1 if something differs.

    Example: uptake topics --kafka 127.0.0.1:9092 --create
    """
    settings = make_settings(kafka=kafka, partitions=partitions, replication=replication, log_level=log_level)
    setup_logging(settings)
    if create:
        asyncio.run(ensure_topics(settings, wait_ms=5_000))
    comparisons = asyncio.run(compare_topics(settings))
    if as_json:
        print(json.dumps([_as_dict(comparison) for comparison in comparisons], indent=2))
    else:
        _show(comparisons)
    raise typer.Exit(1 if any(comparison.differences for comparison in comparisons) else 0)


def _as_dict(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison for JSON."""
    topic = comparison.topic
    return {
        "topic": topic.name,
        "key": topic.key,
        "holds": topic.holds,
        "partitions": comparison.partitions,
        "cleanup": topic.cleanup,
        "retention_ms": topic.retention_ms,
        "is_present": comparison.found is not None,
        "differences": [
            {"what": d.what, "expected": d.expected, "found": d.found, "cure": d.cure}
            for d in comparison.differences
        ],
    }


def _show(comparisons: list[Comparison]) -> None:
    console = Console()
    table = Table(box=None, pad_edge=False)
    for title in ("topic", "partitions", "cleanup", "kept", "key", "on the broker"):
        table.add_column(
            title, justify="right" if title == "partitions" else "left", no_wrap=title == "topic"
        )
    for comparison in comparisons:
        topic = comparison.topic
        kept = (
            "latest of a key" if topic.cleanup == "compact" else f"{(topic.retention_ms or 0) // DAY_MS} days"
        )
        differences = ", ".join(
            "missing" if d.is_missing else f"{d.what} {d.found}, expected {d.expected}"
            for d in comparison.differences
        )
        state = f"[red]{differences}[/red]" if differences else "[green]as expected[/green]"
        table.add_row(topic.name, str(comparison.partitions), topic.cleanup, kept, topic.key, state)
    console.print(table)
    sentences = [d.sentence for c in comparisons for d in c.differences if not d.is_missing]
    if any(d.is_missing for c in comparisons for d in c.differences):
        sentences.append("`uptake topics --create` creates the missing topics")
    for sentence in sentences:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
