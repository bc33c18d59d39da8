"""Stored data: tables of text and arrays, read, run through a network, and written."""
