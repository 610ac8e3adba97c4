"""Vendors' rate limits: declared, told in headers, or learned, and shared by all processes."""
