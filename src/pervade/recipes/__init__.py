"""Complete configurations, as functions that return a Recipe."""
