"""Six apps on one session: ``python -m examples.demo``, or ``make demo``."""
