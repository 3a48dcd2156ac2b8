"""The errors of the feature store that a caller may want to catch."""

from __future__ import annotations


class DamagedFeaturesError(Exception):
    """Stored bytes are not those that were committed; the message names the pack and the way out."""

    def __init__(self, pack: str, problem: str) -> None:
        super().__init__(
            f"feature pack {pack} is damaged: {problem}; run the extraction again, which rebuilds exactly what is "
            "missing (FeatureStore.repair() drops damaged packs first)"
        )
        self.pack = pack
        self.problem = problem

    def __reduce__(self) -> tuple[object, ...]:
        return (DamagedFeaturesError, (self.pack, self.problem))
