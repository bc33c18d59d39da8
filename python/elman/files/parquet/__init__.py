"""Parquet files: sequences in list columns or in the rows of a table, read and written."""
