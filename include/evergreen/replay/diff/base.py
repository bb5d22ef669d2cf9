"""A model folder as it was at a git ref."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from evergreen.config.model_folder import ModelFolder, load_model_folder
from evergreen.errors import ConfigInvalid, NotComparable


@dataclass(frozen=True)
class BaseFolder:
    """What a git ref holds of a model.

    :param name: the ref, with the commit that it stands for.
    :param path: the folder, below the checkout's top.
    :param model: the folder as it was; None where the ref has none.
    """

    name: str
    path: str
    model: ModelFolder | None


def fetch_base(folder: Path, ref: str, into: Path) -> BaseFolder:
    """Write a model folder as it was at a git ref; checkout and index stay as they are.

    :param folder: the folder as it is now, in a git checkout.
    :param ref: whatever git knows a commit by.
    :param into: a scratch root; the folder is written below it under its own name.
    :raises NotComparable: if there is no git, no checkout or no such ref, or if the folder does not load as it was.
    """
    prefix = _git(folder, f"{folder} is in no git checkout", "rev-parse", "--show-prefix").decode().strip("\n")
    unknown = f"--base {ref}: no such commit here; fetch it first (a CI checkout needs fetch-depth: 0)"
    wanted = ("rev-parse", "--short", "--verify", "--end-of-options", f"{ref}^{{commit}}")
    commit = _git(folder, unknown, *wanted).decode().strip()
    name, path = f"{ref} ({commit})", prefix.rstrip("/") or "."
    # Object by object: an archive leaves out what .gitattributes says, which a checkout has.
    listed = _git(
        folder, f"{name}: cannot be listed", "ls-tree", "-r", "-z", "--full-tree", commit, "--", prefix or "."
    )
    files = dict(_parse_entry(entry, prefix) for entry in listed.decode().split("\0") if entry)
    if "config.yaml" not in files:
        return BaseFolder(name, path, None)
    target = into / folder.resolve().name
    for file, blob in files.items():
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        (target / file).write_bytes(_git(folder, f"{name}: {file} cannot be read", "cat-file", "blob", blob))
    try:
        return BaseFolder(name, path, load_model_folder(target))
    except ConfigInvalid as error:
        raise NotComparable(
            f"{path} does not load as it was at {name}; name a --base at which it does: {error}"
        ) from None


def _parse_entry(entry: str, prefix: str) -> tuple[str, str]:
    """A line of ``git ls-tree``: the file below the folder, and its blob."""
    about, _, path = entry.partition("\t")
    return path.removeprefix(prefix), about.split()[2]


def _git(folder: Path, problem: str, *arguments: str) -> bytes:
    """What a git command prints.

    :raises NotComparable: saying the problem, and git's own words for it.
    """
    git = shutil.which("git")
    if git is None:
        raise NotComparable("git is not on the PATH; the folder to compare with is read from it")
    done = subprocess.run([git, "-C", str(folder), *arguments], capture_output=True, check=False)  # noqa: S603 - no shell
    if done.returncode:
        raise NotComparable(f"{problem}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
