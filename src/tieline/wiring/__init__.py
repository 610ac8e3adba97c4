"""Where floors meet: systems made of what is declared, credentials, transport and store."""
