"""The body of an upload: parts of a file, read while they are sent, a block at a time."""

from __future__ import annotations

import io
import os
import threading
from typing import TYPE_CHECKING

from artifacts.errors import ArtifactRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# Of memory per thread. What was just read is still in the processor's cache when it is hashed or sent.
BLOCK_BYTES = 1 << 20

_own = threading.local()


class Blocks(io.RawIOBase):
    """Extents of an open file as one readable body, which botocore can rewind to send it again.

    A block is read into the thread's one buffer, and is good until the thread's next: memory that is new to
    the process costs as much as sending it.
    """

    def __init__(
        self,
        file: int,
        extents: Sequence[tuple[int, int]],
        on_bytes: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._file, self._extents, self._on_bytes = file, extents, on_bytes
        self._size = sum(size for _, size in extents)
        self._at = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[memoryview]:  # type: ignore[override]
        """Yield what is left, in blocks."""
        while block := self._block():
            yield block

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def seekable(self) -> bool:
        """Return that it can be rewound."""
        return True

    def tell(self) -> int:
        """Return how many bytes were read."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place, counted from the start, from here or from the end."""
        self._at = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence] + offset
        return self._at

    def read(self, size: int = -1, /) -> bytes | memoryview:
        """Return what is left, or with a size the next block, which is empty at the end.

        How large a size is not looked at: http.client asks for 16 KiB at a time, and sends whatever it is
        given. Raises ArtifactRefused when the file has become shorter.
        """
        return self._block() if size >= 0 else b"".join(bytes(block) for block in self)

    def _block(self) -> memoryview:
        block = self._place()
        if not hasattr(_own, "buffer"):
            _own.buffer = bytearray(BLOCK_BYTES)
        data = memoryview(_own.buffer)[: block[1]]
        if data and os.preadv(self._file, [data], block[0]) != len(data):
            raise ArtifactRefused("The file was cut off while it was read.", "Make it again.")
        self._at += len(data)
        self._on_bytes(len(data))
        return data

    def _place(self) -> tuple[int, int]:
        """Return the next block's place in the file and its bytes; it ends where its extent does."""
        left = self._at
        for offset, size in self._extents:
            if left < size:
                return offset + left, min(BLOCK_BYTES, size - left)
            left -= size
        return 0, 0
