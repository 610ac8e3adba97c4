"""Proof of completeness: both systems are read whole, and every record is accounted for."""
