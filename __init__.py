"""cotmill: a mill for chains of thought, from a few human ones to many that are verified."""

from importlib.metadata import version

__version__ = version("cotmill")
