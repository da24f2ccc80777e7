"""One page to read and one card to publish, made from the run directory alone."""

from pervade.report.write import write

__all__ = ["write"]
