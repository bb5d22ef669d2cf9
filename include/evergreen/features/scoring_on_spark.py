"""A large batch scored on a Spark cluster: the workers write files, which one commit of ours makes the predictions."""

import base64
import functools
import json
import threading
from dataclasses import dataclass

from evergreen.config.data_schema import DataSchema
from evergreen.engine import NEEDS, map_on_spark
from evergreen.errors import ModelIncompatible, Refused
from evergreen.features.batch_statistics import PREDICTED, EvenSample, Statistics
from evergreen.features.scoring_in_pieces import ScoredShards, find_shards
from evergreen.records import ClaimRecord, Partition, PromotionRecord
from evergreen.storage.cache import ByteCache
from evergreen.storage.content import ContentHash
from evergreen.storage.delta_log import WrittenFile, write_file
from evergreen.storage.loading import PackedFiles
from evergreen.storage.objects import is_there
from evergreen.storage.packed_model import PackedModel, hash_files
from evergreen.storage.pieces import PartitionPieces, Shard
from evergreen.storage.revisions import scored_partition
from evergreen.storage.stores import Stores

# A worker meets the same version in each of its shards.
_OPENED: ByteCache[PackedModel] = ByteCache(4, lambda _: 1)
_OPENING = threading.Lock()


@dataclass(frozen=True, eq=False)
class SparkScoring:
    """A claimed batch that is to be scored on a cluster.

    :param stores: the model's.
    :param pieces: its clean rows.
    :param scored: what scoring a shard of them needs.
    :param files: the version.
    """

    stores: Stores
    pieces: PartitionPieces
    scored: ScoredShards
    files: PackedFiles

    @classmethod
    def of(
        cls, today: DataSchema, stores: Stores, packed: PackedModel, claim: ClaimRecord, partition: Partition
    ) -> "SparkScoring":
        """Gather what the workers need.

        :param packed: the version, as it was loaded here.
        """
        assert claim.promotion is not None
        promotion = stores.ledger.require(PromotionRecord, "champion", claim.promotion - 1)
        shards = find_shards(today, stores, packed, claim, partition)
        return cls(stores, *shards, stores.models.fetch_promoted(promotion))

    def write(self, facts: dict[str, str]) -> Statistics:
        """Let the workers predict, and commit what they wrote; returns the statistics of the predictions.

        :param facts: of the commit.
        :raises SourceChanged: if the rows were not those of the record; nothing is committed then.
        """
        lake, claim = self.stores.lake, self.scored.claim
        target, uri = scored_partition(claim), lake.table_uri("predictions")
        work = functools.partial(score_shard, self.scored, self.files, uri, target)
        what = f"model {self.stores.model_id}, scoring batch {claim.as_of} on Spark"
        content, counted, files = ContentHash(), Statistics(PREDICTED), list[WrittenFile]()
        for answer in map_on_spark(self.stores.at.spark, what, work, self.scored.stored.shards):
            said = json.loads(answer)
            content.merge(said["content"])
            part = Statistics.parse(base64.b64decode(said["statistics"]), what)
            assert part is not None
            counted.merge(part)
            files.append(WrittenFile(**said["file"]))
        self.pieces.require(content)
        lake.replace_by_files(target, files, self.scored.schema, facts)
        return counted


def score_shard(scored: ScoredShards, files: PackedFiles, uri: str, target: Partition, shard: Shard) -> bytes:
    """On a worker: predict for a shard, and write a file that belongs to no table yet.

    :param uri: of the table of predictions.
    :param target: the partition that they will be.
    :returns: which file, what was read for it, and the statistics of what it holds, as JSON.
    :raises Refused: if this worker does not reach the lake, or cannot load the version, which could be loaded where it
        comes from; if the files are not those on record, nothing of them is run.
    """
    stored = scored.stored
    if not is_there(stored.uri, shard.path):
        raise Refused(
            f"{files.named}: a worker of Spark does not find {stored.uri}/{shard.path}; expected a lake that each "
            "reaches by that name: a store such as s3://, or a folder that all of them mount (docs/scale.md#on-spark)"
        )
    try:
        packed = _open(files)
    except ModelIncompatible as error:
        raise Refused(f"on a worker of Spark: {error}; {NEEDS}") from error
    content = ContentHash()
    total = sum(one.rows for one in stored.shards)
    counted = Statistics(PREDICTED, EvenSample(shard.first, total))
    pieces = []
    for piece in scored.predict(packed, shard, content):
        counted.add(piece)
        pieces.append(piece)
    file = write_file(uri, target.batch, target.revision, pieces)
    said = {"file": vars(file), "content": content.hexdigest()}
    said["statistics"] = base64.b64encode(counted.dump()).decode()
    return json.dumps(said).encode()


def _open(files: PackedFiles) -> PackedModel:
    key = (files.named, files.recorded, frozenset(hash_files(files.content).items()))
    # Some servers let several threads of one process work.
    with _OPENING:
        packed = _OPENED.get(key)
        if packed is None:
            packed = files.open()
            _OPENED.put(key, packed)
    return packed
