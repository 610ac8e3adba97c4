"""Ways of speaking to a system. A dialect turns a connector's declarations into calls, and answers into records."""
