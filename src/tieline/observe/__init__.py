"""What people ask: how is it going (`status`), and what happened to this record (`explain`)."""
