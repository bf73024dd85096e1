"""Files read row by row, plain or packed: JSON, CSV, Parquet and sheets of workbooks, which alone are held whole.

Every row comes as a `Line`. What can't be read as a row is a line with what is wrong with it; what makes the whole file
unreadable is a FileError. A file is never read as something that it is not.
"""

from include.readers.csv_records import csv_records, header_names
from include.readers.csv_writer import as_record
from include.readers.dialect import Dialect
from include.readers.exact_json import ExactJson, shown_key
from include.readers.json_rows import json_rows
from include.readers.kinds import told_encoding
from include.readers.streams import Line, Stream, Unreadable, UnreadableRowError, opened

__all__ = [
    "Dialect",
    "ExactJson",
    "Line",
    "Stream",
    "Unreadable",
    "UnreadableRowError",
    "as_record",
    "csv_records",
    "header_names",
    "json_rows",
    "opened",
    "shown_key",
    "told_encoding",
]
