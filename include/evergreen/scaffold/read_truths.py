"""Columns of two values that stand for yes and no."""

import numpy as np
import pandas as pd
import pyarrow as pa

from evergreen.config.fields import ColumnType

# Words for yes and no, the yes first; what reads as true and false is a boolean as it stands.
_TRUTHS = (
    ("true", "false"), ("yes", "no"), ("y", "n"), ("t", "f"), ("on", "off"), ("ja", "nein"), ("ja", "nee"),
    ("ja", "nej"), ("oui", "non"), ("si", "no"), ("sí", "no"), ("sì", "no"), ("sim", "não"), ("tak", "nie"),
    ("да", "нет"),
)  # fmt: skip
# More different texts are no two words with some dirt.
_MOST_WORDS = 100
_MOST = 0.99


def find_truths(texts: pa.Array, counts: np.ndarray) -> ColumnType | None:
    """A boolean, if nearly all values are words for yes and no, both of them.

    :param texts: (n,) the different values, nulls left out.
    :param counts: (n,) how many rows hold each.
    """
    words = [text.strip().lower() for text in texts.slice(0, _MOST_WORDS).to_pylist()]
    for pair in _TRUTHS:
        rows = sum(int(count) for word, count in zip(words, counts, strict=False) if word in pair)
        # One of the two alone may be the first of other words.
        if rows and rows >= _MOST * counts.sum() and (set(pair) <= set(words) or pair == _TRUTHS[0]):
            if pair == _TRUTHS[0]:
                return ColumnType(type="boolean")
            written = {word: text.strip() for word, text in zip(words, texts.to_pylist(), strict=False)}
            return ColumnType(type="boolean", yes=(written[pair[0]],), no=(written[pair[1]],))
    return None


def name_truths(texts: pd.Series, numbers: pd.Series | None) -> tuple[ColumnType, str]:
    """Two values as a boolean: the larger number is the one to be predicted, or the rarer text.

    :param texts: (rows,) a column without its nulls.
    :param numbers: (rows,) what they read as, where they are numbers.
    :returns: the type, and what to tell of it.
    """
    values = texts.str.strip().value_counts()
    rarest = {values.index[-1]}
    largest = rarest if numbers is None else set(texts[numbers == numbers.max()].str.strip())
    yes = tuple(text for text in values.index if text in largest)
    no = tuple(text for text in values.index if text not in yes)
    told = [f"{' or '.join(words)} ({values[list(words)].sum():,} rows)" for words in (yes, no)]
    remark = (
        f"{told[0]} is predicted, {told[1]} is not; if it is the other way round, exchange them under labels.target"
    )
    return ColumnType(type="boolean", yes=yes, no=no), remark
