"""Tables of unknown origin: CSV and Parquet, with limits that are checked before data is read."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from stainproof.errors import DataError, first_line
from stainproof.files import check_regular
from stainproof.text import printable, size, unquote_formula

SUFFIXES = frozenset({".csv", ".tsv", ".parquet"})
DELIMITERS = ",;\t"
MAX_BYTES = 2**30
"""Largest file, and size of the columns that are read from a Parquet file."""
MAX_ROWS = 5_000_000
MAX_COLUMNS = 1000
MAX_CELLS = 100_000_000
MAX_LINE_BYTES = 2**20
MAX_CELL_BYTES = 4096
"""Longest path or name; the longest path of most systems."""
ZEROS_AND_ONES = frozenset({"0", "1", "0.0", "1.0", "True", "False"})


class Table:
    """A table whose columns are read by need, as text."""

    def __init__(self, path: Path):
        """Open a table; only its size and the names of its columns are read.

        Raises:
            DataError: It cannot be read, is not a regular file, or is too large: over 1 GiB, 5
                million rows, 1,000 columns or 100 million cells.
        """
        self.path = path
        self._read: pyarrow.Table | None = None
        try:
            check_regular(path, MAX_BYTES)
            if path.suffix.lower() == ".parquet":
                self._open_parquet()
            else:
                self._read_csv()
        except (pyarrow.ArrowException, OSError, ValueError, csv.Error) as error:
            raise self._unreadable(error) from error

    def _open_parquet(self) -> None:
        self._file = pyarrow.parquet.ParquetFile(self.path)
        schema = self._file.schema_arrow
        self.names: list[str] = schema.names
        self._types: list[pyarrow.DataType] = schema.types
        self.num_rows: int = self._file.metadata.num_rows
        self._check_size(self.num_rows)

    def _read_csv(self) -> None:
        delimiter, self.names = self._csv_header()
        self._check_size(0)
        batches, self.num_rows = [], 0
        text = pyarrow.string()
        with pyarrow.csv.open_csv(
            self.path,
            read_options=pyarrow.csv.ReadOptions(block_size=MAX_LINE_BYTES),
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(self.names, text)
            ),
        ) as reader:
            if reader.schema.names != self.names:
                raise ValueError("its first line is not the names of the columns")
            for batch in reader:
                batches.append(batch)
                self.num_rows += batch.num_rows
                self._check_size(self.num_rows)
        self._types = [text] * len(self.names)
        self._read = pyarrow.Table.from_batches(batches, reader.schema)

    def _csv_header(self) -> tuple[str, list[str]]:
        """Return the delimiter of a CSV file and the names of its columns."""
        with self.path.open("rb") as stream:
            line = stream.readline(MAX_LINE_BYTES)
        if len(line) == MAX_LINE_BYTES:
            raise DataError(f"{self.path}: first line too long; allowed: {size(MAX_LINE_BYTES)}")
        text = line.decode("utf-8-sig").rstrip("\r\n")
        delimiter = max(DELIMITERS, key=text.count)
        return delimiter, next(csv.reader([text], delimiter=delimiter), [])

    def _check_size(self, num_rows: int) -> None:
        num_columns = len(self.names)
        for what, number, allowed in (
            ("columns", num_columns, MAX_COLUMNS),
            ("rows", num_rows, MAX_ROWS),
            ("cells", num_rows * num_columns, MAX_CELLS),
        ):
            if number > allowed:
                got = f"{number:,}" if self.path.suffix.lower() == ".parquet" else "more"
                raise DataError(f"{self.path}: too many {what}; allowed: {allowed:,}, got {got}")

    def _unreadable(self, error: Exception) -> DataError:
        if isinstance(error, UnicodeDecodeError):
            reason = "not UTF-8 text; save the table as UTF-8"
        else:
            reason = printable(first_line(error))[:200]
        return DataError(f"{self.path}: not a readable {self.path.suffix} table ({reason})")

    def texts(self, name: str, *, allow_empty: bool = False) -> tuple[str, ...]:
        """Return the cells of a column as text.

        Args:
            name: Name of the column.
            allow_empty: Whether cells may be empty; such a cell is an empty text.

        Raises:
            DataError: The column is nested or binary, or a cell is empty or over 4,096 bytes.
        """
        column = self._columns([name])[0]
        try:
            values = _texts(column)
        except (pyarrow.ArrowException, ValueError, OverflowError) as error:  # such as year 9999999
            raise self._unreadable(error) from error
        for row, value in enumerate(values):
            if not value and not allow_empty:
                raise DataError(f"{self.path}: column {name!r} is empty in row {row + 1}")
        return tuple(unquote_formula(value or "") for value in values)

    def columns_of_zeros_and_ones(self, but: Iterable[str]) -> list[str]:
        """Return the names of the columns whose cells are all 0 or 1.

        Raises:
            DataError: Two of these columns have the same name.
        """
        names = [name for name in dict.fromkeys(self.names) if name not in but]
        names = [name for name in names if self.num_rows and _can_be_one(self._type(name))]
        for name in names:
            self.check_once(name)
        columns = self._columns(names)
        return [
            name
            for name, column in zip(names, columns, strict=True)
            if set(map(str, column.unique().to_pylist())) <= ZEROS_AND_ONES
        ]

    def ones(self, name: str) -> list[bool]:
        """Return which cells of a column of zeros and ones are 1."""
        return [
            str(value) in ("1", "1.0", "True") for value in self._columns([name])[0].to_pylist()
        ]

    def check_once(self, name: str) -> None:
        """Check that a column is there once.

        Raises:
            DataError: It is missing, or several have this name.
        """
        count = self.names.count(name)
        if not count:
            raise DataError(f"{self.path}: column {name!r} is missing; got: {self.listed()}")
        if count > 1:
            raise DataError(f"{self.path}: column {name!r} occurs {count} times")

    def listed(self) -> str:
        """Return the names of the columns as text; of many only the first."""
        shown = [printable(name)[:100] for name in self.names[:50]]
        return ", ".join([*shown, *["..."][: len(self.names) > len(shown)]])

    def _type(self, name: str) -> pyarrow.DataType:
        return self._types[self.names.index(name)]

    def _columns(self, names: Sequence[str]) -> list[pyarrow.ChunkedArray]:
        for name in names:
            kind = self._type(name)
            if not _is_simple(kind):
                raise DataError(
                    f"{self.path}: column {name!r} is {str(kind)[:100]}; allowed: UTF-8 text, "
                    "numbers"
                )
        try:
            columns = self._read_columns(names)
            for name, column in zip(names, columns, strict=True):
                if len(column) != self.num_rows:
                    raise ValueError(f"{self.num_rows} rows, {len(column)} in column {name!r}")
                longest = max(map(_longest, column.chunks), default=0)
                if longest > MAX_CELL_BYTES:
                    raise DataError(
                        f"{self.path}: column {name!r} has a cell of {longest:,} bytes; "
                        f"allowed: {MAX_CELL_BYTES:,}"
                    )
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise self._unreadable(error) from error
        return columns

    def _read_columns(self, names: Sequence[str]) -> list[pyarrow.ChunkedArray]:
        if self._read is not None:
            return [self._read[name] for name in names]
        meta = self._file.metadata
        groups = [meta.row_group(index) for index in range(meta.num_row_groups)]
        num_bytes = sum(group.total_byte_size for group in groups)
        if num_bytes > MAX_BYTES:  # damaged statistics of a column would end the process here
            num_bytes = sum(
                chunk.total_uncompressed_size
                for group in groups
                for chunk in map(group.column, range(group.num_columns))
                if chunk.path_in_schema in names
            )
        if num_bytes > MAX_BYTES:
            raise DataError(
                f"{self.path}: columns too large; allowed: {size(MAX_BYTES)}, got {size(num_bytes)}"
            )
        # texts stay indices into a dictionary, so that few bytes in the file are few in memory
        file = pyarrow.parquet.ParquetFile(self.path, read_dictionary=list(names))
        table = file.read(columns=list(names))
        table.validate(full=True)
        return [table[name] for name in names]


def _can_be_one(kind: pyarrow.DataType) -> bool:
    """Return whether values of a type can be 0 and 1."""
    return _is_simple(kind) and not pyarrow.types.is_temporal(kind)


def _is_simple(kind: pyarrow.DataType) -> bool:
    """Return whether values of a type are texts, numbers, times or truth values."""
    types = pyarrow.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    return any(
        is_kind(kind)
        for is_kind in (
            types.is_string,
            types.is_large_string,
            types.is_integer,
            types.is_floating,
            types.is_boolean,
            types.is_temporal,
            types.is_decimal,
            types.is_null,
        )
    )


def _longest(chunk: pyarrow.Array) -> int:
    """Return the length in bytes of the longest text; 0 if there is none."""
    if pyarrow.types.is_dictionary(chunk.type):
        chunk = chunk.dictionary
    if not (pyarrow.types.is_string(chunk.type) or pyarrow.types.is_large_string(chunk.type)):
        return 0
    return pyarrow.compute.max(pyarrow.compute.binary_length(chunk)).as_py() or 0


def _texts(column: pyarrow.ChunkedArray) -> list[str | None]:
    """Return the values as text; None where there is none."""
    texts: list[str | None] = []
    for chunk in column.chunks:
        if pyarrow.types.is_dictionary(chunk.type):
            known = _as_text(chunk.dictionary)
            places = chunk.indices.to_pylist()
            texts += [None if place is None else known[place] for place in places]
        else:
            texts += _as_text(chunk)
    return texts


def _as_text(chunk: pyarrow.Array) -> list[str | None]:
    return [None if value is None else str(value) for value in chunk.to_pylist()]
