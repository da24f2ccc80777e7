"""Pure functions by formula, not by domain, over the columns of one predictions file; and their intervals."""
