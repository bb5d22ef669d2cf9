"""How large the code is: `make size` prints it, CI too, so that growth is seen where it happens."""

import ast
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Beside the core stand what proposes folders, what replays, the demo, and the command line.
_BESIDE = ("scaffold", "replay", "demo", "cli.py")
_LONG_MODULE, _LONG_FUNCTION = 250, 40


def main() -> int:
    """Print the counts of the core, of what stands beside it, of the plugin and of the tests."""
    core = ROOT / "include" / "evergreen"
    beside = [path for path in core.rglob("*.py") if path.relative_to(core).parts[0] in _BESIDE]
    parts = {
        "core": sorted(set(core.rglob("*.py")) - set(beside)),
        "scaffold, replay, demo, cli": beside,
        "plugin and DAG files": [*(ROOT / "plugins").rglob("*.py"), *(ROOT / "dags").glob("*.py")],
        "tests": list((ROOT / "tests").rglob("*.py")),
    }
    for name, paths in parts.items():
        print(f"{name:28} {_describe(paths)}")
    return 0


def _describe(paths: list[Path]) -> str:
    texts = {path: path.read_text() for path in paths}
    lines = {path: text.count("\n") for path, text in texts.items()}
    long = [f"{path.relative_to(ROOT)} {size}" for path, size in lines.items() if size > _LONG_MODULE]
    nodes = [node for text in texts.values() for node in ast.walk(ast.parse(text))]
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    over = sum((node.end_lineno or 0) - node.lineno >= _LONG_FUNCTION for node in functions)
    broad = sum(isinstance(node, ast.ExceptHandler) and _is_broad(node) for node in nodes)
    ignored = sum(text.count("# type: ignore") for text in texts.values())
    told = f"{sum(lines.values()):6,} lines in {len(lines)} modules, median {statistics.median(lines.values()):.0f}"
    told += f"; {over} functions over {_LONG_FUNCTION} lines, {broad} broad excepts, {ignored} type ignores"
    return f"{told}; modules over {_LONG_MODULE}: {', '.join(sorted(long)) or 'none'}"


def _is_broad(handler: ast.ExceptHandler) -> bool:
    named = handler.type.id if isinstance(handler.type, ast.Name) else None
    return handler.type is None or named in ("Exception", "BaseException")


if __name__ == "__main__":
    sys.exit(main())
