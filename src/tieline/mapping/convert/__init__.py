"""Conversions: text, numbers, times, money, phones, countries, lists of values."""
