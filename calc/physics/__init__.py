"""Seconds, bytes and watts of operators on chips: pure functions over numbers and arrays."""
