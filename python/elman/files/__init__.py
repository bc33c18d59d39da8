"""Stored data: tables as text and arrays in files, read and written."""
