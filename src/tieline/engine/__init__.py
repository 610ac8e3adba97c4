"""Making it happen: read, decide, queue in one commit, send, confirm in another."""
