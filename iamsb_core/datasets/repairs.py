"""What a reader mended in a benchmark's own files: one line for each fault, however many entries have it."""

from __future__ import annotations

_NUM_EXAMPLES = 3


class Repairs:
    """Counts each fault and keeps its first examples."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, list[str]]] = {}
        self._said: list[str] = []

    def say(self, text: str) -> None:
        """Note something that concerns the whole dataset, in a line of its own before the counted ones."""
        self._said.append(text)

    def add(self, fault: str, example: str) -> None:
        """Note one case of a fault, which is told in words that end with what was done about it."""
        num, examples = self._found.get(fault, (0, []))
        if num < _NUM_EXAMPLES:
            examples.append(example)
        self._found[fault] = num + 1, examples

    def lines(self) -> tuple[str, ...]:
        """Such as "periods of no length left out: 1,204 entries, such as a.mp4, b.mp4", in the order of the first."""
        counted = (
            f"{fault}: {num:,} {'entries' if num > 1 else 'entry'}, such as {', '.join(examples)}"
            for fault, (num, examples) in self._found.items()
        )
        return (*self._said, *counted)
