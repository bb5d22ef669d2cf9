"""A person is forgotten where the lake is a bucket and the online store a Redis: no byte is left in either."""

import io
from dataclasses import replace

import obstore
import pyarrow.parquet as pq
import pytest

from evergreen.records import ForgottenRecord
from evergreen.steps.forget_rows import describe_forgotten
from evergreen.storage.objects import open_store
from tests.live.test_online_redis import REDIS, url
from tests.s3 import s3, speaking_to
from tests.unit.small_loop import SmallLoop
from tests.unit.steps.test_forget_rows import (
    BATCHES,
    CHANGES,
    OTHERS,
    ROWS_GONE,
    VIEW,
    VIEW_PY,
    answer,
    everywhere,
    forget,
    run,
)  # fmt: skip
from tests.unit.views import write_view

pytestmark = pytest.mark.skipif(REDIS is None, reason="no redis-server on the PATH (Debian's package)")
__all__ = ["url"]


def find(loop, *texts):
    """Objects of the bucket, and keys of the online store, that hold a text, as bytes or unpacked."""
    redis = pytest.importorskip("redis").Redis.from_url(loop.at.online, decode_responses=True)
    held = {name: str(redis.hgetall(name)) for name in redis.scan_iter() if redis.type(name) == "hash"}
    store = open_store("s3://evergreen")
    for one in (one for chunk in obstore.list(store) for one in chunk):
        content = bytes(obstore.get(store, one["path"]).bytes())
        held[one["path"]] = content.decode("latin-1")
        if one["path"].endswith(".parquet"):
            held[one["path"]] += str(pq.ParquetFile(io.BytesIO(content)).read().to_pylist())
    return {name for name, content in held.items() if any(text in content for text in texts)}


def test_no_byte_of_them_is_left_in_a_bucket_and_in_redis(url, tmp_path, monkeypatch):
    write_view(tmp_path, VIEW, VIEW_PY, "people")
    monkeypatch.setenv("EVERGREEN_FEATURES", str(tmp_path / "features"))
    loop = SmallLoop.under(tmp_path, **CHANGES).using(features={"views": {"people": 1}})
    loop = replace(loop, at=replace(loop.at, lake="s3://evergreen/lake", online=f"{url}/7"))
    with s3() as environment, speaking_to(environment):
        run(loop, *range(1, BATCHES))
        answer(loop)
        run(loop, BATCHES)
        before = find(loop, *everywhere())
        kinds = ("small/clean", "small/labels", "small/predictions", "small/answers", "quarantine_rows", "raw/dev")
        kinds += ("ledger/dev", "@views", "evergreen:latest")
        assert [kind for kind in kinds if not any(kind in one for one in before)] == []
        result = forget(loop)
        assert find(loop, *everywhere()) == set()
        assert find(loop, OTHERS) != set()
        assert result.ended.rows == ROWS_GONE
        assert forget(loop).again
        assert loop.stores.ledger.get(ForgottenRecord, "rows") == result.ended
        # Who was forgotten stays so, and the next day goes on.
        run(loop, BATCHES + 1)
        assert f"{PERSONS_ROWS} of clean" in "\n".join(describe_forgotten("small", forget(loop)))


PERSONS_ROWS = 1
