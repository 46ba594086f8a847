"""How fast is it, beside what? One file per question, its peers in `peers/`; docs/benchmarks.md has the answers."""
