"""Stored data: tables and arrays, read, run through a network, and written."""
