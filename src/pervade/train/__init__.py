"""How weights move: optimisers and schedules, one a file."""
