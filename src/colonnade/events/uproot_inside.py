"""What uproot has no public name for; tests/events/test_header.py says so if a version changes it."""

from __future__ import annotations

from typing import Any

import uproot
import xxhash


class DamagedError(ValueError):
    """The bytes of a file contradict themselves."""


def unpack(block: Any, size: int) -> Any:
    """Return the bytes of a packed block with its header, by the algorithm that it names."""
    chunk = uproot.source.chunk.Chunk.wrap(None, block)
    cursor = uproot.source.cursor.Cursor(0)
    return uproot.compression.decompress(chunk, cursor, {}, len(block), size).raw_data


def check_pages(ntuple: Any) -> None:
    """Have uproot compare pages and lists of pages with their checksums (XXH3 of 64 bits), which it leaves out."""
    read_page = ntuple.read_page
    pages: dict[int, bool] = {}  # by its place, whether a page has a checksum, which stands behind it

    def checked(destination: Any, cluster: int, column: int, page: int, metadata: Any) -> None:
        description = ntuple.page_link_list[cluster][column].pages[page]
        pages[description.locator.offset] = description.has_checksum
        read_page(destination, cluster, column, page, metadata)

    def unpacked(locator: Any, size: int) -> tuple[Any, Any]:
        begin, end = locator.offset, locator.offset + locator.num_bytes
        cursor = uproot.source.cursor.Cursor(begin)
        chunk = ntuple.file.source.chunk(begin, end + 8 * pages.get(begin, False))
        if pages.get(begin):
            _compare(chunk.get(begin, end + 8, cursor, {}))
        if locator.num_bytes < size:
            chunk = uproot.compression.decompress(chunk, cursor, {}, locator.num_bytes, size, block_info=None)
            cursor.move_to(0)
        if begin not in pages:  # a list of pages, whose checksum is its end
            _compare(chunk.get(cursor.index, cursor.index + size, cursor, {}))
        return chunk, cursor

    ntuple.read_page, ntuple.read_locator = checked, unpacked


def _compare(content: Any) -> None:
    """Compare bytes with the checksum that they end with."""
    raw = bytes(content)
    if xxhash.xxh3_64_intdigest(raw[:-8]) != int.from_bytes(raw[-8:], "little"):
        msg = "a page or list of pages does not have its checksum, so the file is damaged; copy or make it again"
        raise DamagedError(msg)


def tell_childless(ntuple: Any) -> None:
    """Tell uproot which fields have no named children.

    It finds that out by going through all fields for each field: seconds for the 1,900 of a NanoAOD file.
    """
    children: dict[int, list[int]] = {}
    for number, record in enumerate(ntuple.field_records):
        if record.parent_field_id != number:
            children.setdefault(record.parent_field_id, []).append(number)
    for number, field in enumerate(ntuple.all_fields):
        below = children.get(number, [])
        if hasattr(field, "_fields") and all(
            ntuple.all_fields[child].is_anonymous and child not in children for child in below
        ):
            field._fields = []
