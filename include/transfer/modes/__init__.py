"""How a table travels: one module per mode, under the mode's name.

append   rows that were committed since the last run
key      rows that were changed, added or deleted since the last run, found by hashes
full     all rows
"""
