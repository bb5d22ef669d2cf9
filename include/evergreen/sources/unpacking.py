"""Gzip, unpacked in pieces: a small file may unpack to more than any machine holds."""

import contextlib
import gzip
import io
import zlib

from evergreen.config.limits_config import LimitsConfig, megabytes
from evergreen.errors import FileUnreadable

_PIECE = 1 << 20


def unpack(name: str, content: bytes, limits: LimitsConfig) -> bytes:
    """What a gzip file holds.

    :raises FileRefused: if that is more than its limit; no more than the limit is ever held.
    :raises FileUnreadable: if it is not whole.
    """
    unpacked, most = io.BytesIO(), limits.most("unpacked_mb")
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
            while piece := packed.read(_PIECE):
                unpacked.write(piece)
                what = f"its {megabytes(len(content))} MB unpack to more than {limits.unpacked_mb:,} MB"
                limits.require("unpacked_mb", unpacked.tell(), name, what)
    except (OSError, EOFError, zlib.error) as error:
        broken = unpack_whole_part(content, most).count(b"\n") + 1 if isinstance(error, EOFError) else None
        raise FileUnreadable(name, broken, f"is not whole gzip: {error}; deliver it again") from error
    return unpacked.getvalue()


def unpack_whole_part(content: bytes, most: int) -> bytes:
    """What can be unpacked of a broken gzip file, which says more than packed bytes do.

    :param most: bytes to unpack.
    """
    unpacked, left = b"", content
    with contextlib.suppress(zlib.error):
        while left and len(unpacked) < most:
            member = zlib.decompressobj(wbits=31)
            unpacked += member.decompress(left, most - len(unpacked))
            left = member.unused_data
    return unpacked
