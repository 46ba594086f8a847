"""Sentences for what is wrong with the broker or its topics, each with a cure."""

from collections.abc import Mapping


def no_answer(bootstrap: str, error: Exception) -> str:
    """Return the sentence for a broker that does not answer."""
    return (
        f"Kafka at {bootstrap} does not answer ({type(error).__name__}). Start it (`uptake up` does), or set "
        f"UPTAKE_KAFKA to where it is; `uptake doctor` tells more"
    )


def topic_problems(bootstrap: str, expected: Mapping[str, int], wrong: Mapping[str, int]) -> list[str]:
    """Return a sentence for each topic with a wrong number of partitions, and one for all that are missing (0 partitions)."""
    missing = [name for name, count in wrong.items() if count == 0]
    problems = [
        f"topic {name} has {count} partitions, expected {expected[name]}; set UPTAKE_PARTITIONS to what it has, "
        f"or use a new cluster"
        for name, count in wrong.items()
        if count
    ]
    if missing:
        shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        problems.append(f"Kafka at {bootstrap} lacks the topics {shown}; `uptake topics --create` makes them")
    return problems
