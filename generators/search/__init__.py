"""Tree search over chains of thought: PUCT over thinking factors, whole steps, or any other actions."""

from .game import Scorer
from .settings import SearchSettings
from .shard import SearchStats, SearchYield, search_shard

__all__ = ["Scorer", "SearchSettings", "SearchStats", "SearchYield", "search_shard"]
