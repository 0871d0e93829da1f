"""cotmill: a mill for chains of thought, from a few human ones to many that are verified."""

__version__ = "0.1.0"
