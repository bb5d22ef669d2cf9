"""A Spark cluster, reached by Spark Connect, as the place where the shards of a large batch are worked on.

Nothing of a batch goes through Spark but the numbers of its shards: the workers read the lake themselves, and answer
with what is small. So nothing rests on Spark's types, and none of its readers or writers takes part.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

import pyarrow as pa

import evergreen.storage  # noqa: F401 - its settings spare processes that the client's import would end
from evergreen import errors
from evergreen.errors import EvergreenError, Outage, Refused, needs_extra

_ANSWERS = pa.schema([("shard", pa.int64()), ("failed", pa.string()), ("told", pa.string()), ("answer", pa.binary())])
_SPARK_ANSWERS = "shard bigint, failed string, told string, answer binary"
# Of other versions the same model may predict other bits.
_PACKAGES = ("airflow-provider-evergreen", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy", "skops")
NEEDS = "the workers need the packages of this process (docs/scale.md#on-spark)"
# Seconds for the server to answer at all; how often one that has answered is asked again, in about a minute.
_PATIENCE, _TRIES = 20, 6
Shard = TypeVar("Shard")


def map_on_spark(remote: str, what: str, work: Callable[[Shard], bytes], shards: Sequence[Shard]) -> list[bytes]:
    """Let the workers of a cluster work on shards, each on one at a time.

    :param remote: the server, ``sc://HOST:PORT`` with its parameters.
    :param what: the model and what is done, for messages.
    :param work: a function that the workers import, or a partial one. Our own errors are raised here as it raised
        them; that of the first shard where there are several.
    :returns: its answers, in the shards' order.
    :raises ExtraMissing: if Spark Connect's client is not installed.
    :raises Refused: if the workers lack packages, or have others.
    :raises Outage: if the server cannot be reached, or broke off.
    """
    if not shards:
        return []
    with _open_session(remote, what) as session:
        numbers = session.range(0, len(shards), 1, len(shards))
        answering = functools.partial(_answer, what, work, tuple(shards), _installed())
        answers = numbers.mapInArrow(answering, _SPARK_ANSWERS).toArrow().sort_by("shard").to_pylist()
    if failed := next((one for one in answers if one["failed"]), None):
        raise _rebuild(failed["failed"], failed["told"])
    if [one["shard"] for one in answers] != list(range(len(shards))):
        raise Outage(f"{what}: Spark answered for {len(answers)} of {len(shards)} shards; try again")
    return [one["answer"] for one in answers]


def _answer(
    what: str,
    work: Callable[[Shard], bytes],
    shards: Sequence[Shard],
    expected: dict[str, str],
    batches: Iterable[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    """On a worker: what becomes of the shards whose numbers come. Spark repeats no error that is an answer."""
    for batch in batches:
        for number in batch.column(0).to_pylist():
            failed, told, answer = "", "", b""
            try:
                _require_same(what, expected)
                answer = work(shards[number])
            except EvergreenError as error:
                failed, told = type(error).__name__, str(error)
            row = {"shard": number, "failed": failed, "told": told, "answer": answer}
            yield pa.RecordBatch.from_pylist([row], schema=_ANSWERS)


@contextmanager
def _open_session(remote: str, what: str) -> Iterator[Any]:
    """A session of its own, which ends what it has begun when it is left."""
    with needs_extra("spark", f"{what}, with engine: spark,"):
        import grpc
        from pyspark.errors import PySparkException
        from pyspark.sql.connect.client import DefaultChannelBuilder
        from pyspark.sql.connect.client.retries import DefaultPolicy
        from pyspark.sql.connect.session import SparkSession
    try:
        builder = DefaultChannelBuilder(remote)
    except PySparkException as error:
        # What was said may hold a token.
        valid = "valid: sc://HOST:PORT, and after it parameters such as /;use_ssl=true;token=…"
        raise Refused(f"{what}: EVERGREEN_SPARK, or its connection, is no address of Spark Connect; {valid}") from error
    place = f"Spark Connect at {builder.endpoint}"
    channel = builder.toChannel()
    try:
        grpc.channel_ready_future(channel).result(timeout=_PATIENCE)
    except grpc.FutureTimeoutError as error:
        raise Outage(
            f"{what}: {place} did not answer within {_PATIENCE} seconds; start it, or try again", place
        ) from error
    finally:
        channel.close()
    session = None
    try:
        session = SparkSession.builder.remote(remote).create()
        session.client.set_retry_policies([DefaultPolicy(max_retries=_TRIES)])
        yield session
    except (PySparkException, grpc.RpcError) as error:
        raise _explain(what, place, str(error)) from error
    finally:
        if session is not None:
            # A server that is gone ends its sessions, too.
            session.client.set_retry_policies([DefaultPolicy(max_retries=0)])
            session.stop()


def _explain(what: str, place: str, said: str) -> EvergreenError:
    """An error of Spark's in our words."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    lost = re.search(r"(ModuleNotFoundError|ImportError|AttributeError: Can't get attribute)\S* .*", said)
    if lost:
        return Refused(f"{what}: the Python of {place} cannot do it: {lost[0]}; {NEEDS}")
    if other := re.search(r"\[?PYTHON_VERSION_MISMATCH\]?[^\n]*", said):
        return Refused(f"{what}: {place} runs another Python: {other[0]}; {NEEDS}")
    if "RESOURCE_EXHAUSTED" in said or "larger than max" in said:
        return Refused(
            f"{what}: {place} does not take so large a message: {lines[-1]}; the version's files go to the workers in "
            "one: raise spark.connect.grpc.maxInboundMessageSize, or set engine: local"
        )
    shown = " ".join(lines)
    return Outage(
        f"{what}: {place} broke off: {shown if len(shown) < 600 else f'{shown[:200]} … {shown[-400:]}'}", place
    )


def _rebuild(name: str, told: str) -> EvergreenError:
    kind = getattr(errors, name)
    if issubclass(kind, Outage):
        return Outage(told)
    error: EvergreenError = kind.__new__(kind, told)
    return error


@functools.cache
def _installed() -> dict[str, str]:
    """The packages on which a prediction's bits rest, and their versions here."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            # A checkout whose folders are on the path.
            found[name] = "no version"
    return found


def _require_same(what: str, expected: dict[str, str]) -> None:
    """Refuse to work with other packages than those of whoever asks.

    :raises Refused: naming each.
    """
    found = _installed()
    others = [f"{name} {found[name]}, expected {wanted}" for name, wanted in expected.items() if found[name] != wanted]
    if others:
        raise Refused(f"{what}: a worker has {'; '.join(others)}; {NEEDS}")
