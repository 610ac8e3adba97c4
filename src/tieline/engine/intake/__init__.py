"""Reading: what has changed on a side, what webhooks and feeds tell of, and what is gone."""
