"""For tests of integrations: clocks that are turned by hand, systems that are made up. Nothing in tieline needs it."""
