"""No source file can open a pickle, fetch an address or run text: read from the syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = ("flows", "tasks", "storage", "iamsb_core")
MODULES = frozenset(
    {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "pandas", "requests"}
    | {"httpx", "aiohttp", "ftplib", "telnetlib"}
)
"""the first line opens pickles, the second other machines; flows.services asks our own with urllib"""
CALLS = frozenset(
    {"torch.load", "torch.jit.load", "torch.package.PackageImporter", "torch.hub.load", "torch.ops.load_library"}
    | {"yaml.load", "yaml.unsafe_load", "mlflow.pytorch.load_model"}
    | {"mlflow.pyfunc.load_model", "mlflow.sklearn.load_model", "eval", "exec", "os.system", "os.popen"}
    | {"cv2.VideoCapture", "torchaudio.load", "torchvision.io.read_video"}
)


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (PROJECT / package).rglob("*.py"))


def dotted(node: ast.expr) -> str:
    """`torch.load` of the expression `torch.load`; empty for anything but names and attributes."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def names(tree: ast.Module) -> dict[str, str]:
    """What a local name stands for: {"np": "numpy", "load": "torch.load"}."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.asname or alias.name.split(".")[0]: alias.name if alias.asname else alias.name.split(".")[0]
                      for alias in node.names}  # fmt: skip
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


def problems(text: str) -> Iterator[str]:
    tree = ast.parse(text)
    known = names(tree)
    for whole in known.values():
        if whole.split(".")[0] in MODULES:
            yield f"imports {whole}"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        first, _, rest = dotted(node.func).partition(".")
        called = f"{known.get(first, first)}{'.' if rest else ''}{rest}"
        options = {keyword.arg: keyword.value for keyword in node.keywords}
        if called in CALLS:
            yield f"line {node.lineno} calls {called}"
        for option in ("allow_pickle", "trust_remote_code", "shell"):
            given = options.get(option)
            if given is not None and not (isinstance(given, ast.Constant) and given.value is False):
                yield f"line {node.lineno} allows {option}"
        kept = options.get("persist_result")
        if kept is not None and ast.unparse(options.get("result_serializer", ast.Constant(""))) != "'json'":
            yield f"line {node.lineno}: Prefect pickles results that are kept, unless told to write JSON"
        if called.endswith(".from_pretrained") and not (
            isinstance(options.get("use_safetensors"), ast.Constant) and options["use_safetensors"].value is True
        ):
            yield f"line {node.lineno}: from_pretrained must ask for safetensors"


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_nothing_is_unpickled_run_or_fetched(path: Path):
    assert list(problems(path.read_text())) == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("import pickle", "imports pickle"),
        ("from pickle import loads", "imports pickle.loads"),
        ("import torch as t\nt.load('x', weights_only=True)", "line 2 calls torch.load"),
        ("from torch import load\nload('x')", "line 2 calls torch.load"),
        ("import numpy as np\nnp.load('x', allow_pickle=True)", "line 2 allows allow_pickle"),
        ("import numpy as np\nnp.load('x', allow_pickle=chosen)", "line 2 allows allow_pickle"),
        ("M.from_pretrained('x')", "line 1: from_pretrained must ask for safetensors"),
        ("import subprocess\nsubprocess.run('ls', shell=True)", "line 2 allows shell"),
        ("eval('1')", "line 1 calls eval"),
        ("task(persist_result=True)", "line 1: Prefect pickles results that are kept, unless told to write JSON"),
    ],
)
def test_the_rule_sees_what_it_forbids(text: str, what: str):
    assert list(problems(text)) == [what]


@pytest.mark.parametrize(
    "text", ["import numpy as np\nnp.load('x')\nnp.save('x', a, allow_pickle=False)", "model.eval()"]
)
def test_the_rule_lets_pass_what_is_sound(text: str):
    assert list(problems(text)) == []
