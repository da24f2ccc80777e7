"""One run from data to report: workflow, training, members, search, time limits, what is said meanwhile."""
