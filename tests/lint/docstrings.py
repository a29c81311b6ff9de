"""Docstrings that a stranger understands: `python -m tests.lint.docstrings [PATH...]`.

Two rules:

- A first line stands alone: a sentence or a noun phrase, not a fragment such as "Of its result".
- In shipped code, `networks/` included, a public function that takes or gives arrays says shape,
  dtype and range. Shape and dtype stand in a jaxtyping annotation, such as
  `Float32[Tensor, "n c h w"]`, or in the text; the range or unit in the text.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
FOLDERS = ("unifmir", "export", "zoo", "benchmarks", "cli")
LINKS = tuple(Path("unifmir", name) for name in FOLDERS[1:])

FRAGMENT = re.compile(
    r"(Of|What|That|Those|This one|Its|It is|As|From|By|In|With|Without|For|To|At|On|After|Before|"
    r"Through|Under|Between|Where|When|Once|And|Or|But|Also|Too|Else|The same|Same|Nothing|Nobody|"
    r"None|Not|No more|So|Such|Likewise|Inverse|Instead|Like|More|Most|Less|Because|Until|Since|"
    r"If)\b"
    r"[ ,:;.]"
)
ARRAYS = re.compile(r"\b(ndarray|NDArray|Tensor|ArrayLike)\b")
JAXTYPED = re.compile(
    r"\b(Float|Float32|Float16|Float64|Int|Int64|UInt8|UInt16|Bool|Num|Real|Shaped|"
    r"Integer|Complex|Complex64)\["
)
NAMES = re.compile(r"(?<![\w.])\w+(?![\w.])")
"""Names that stand alone: `Image`, and not `Image.Image`."""
SHAPE = re.compile(r"\bshape|\([A-Z0-9a-z_]+(, ?[^()]+)*\)|\baxes\b|\b[0-9]-?D\b|\bscalar", re.I)
DTYPE = re.compile(r"float|dtype|\bu?int(eger)?|bool|complex|bytes", re.I)
RANGE = re.compile(
    r"\[-?\d|normali[sz]ed|intensit|photon|\brange|\bunits?\b|\bany (real )?values?|weights?\b|"
    r"finite|probabilit|\bindex|\bindices|counts?\b|logit|features?\b|0 or 1|>= ?0|dB\b|greys?|"
    r"percent",
    re.I,
)


def files(paths: list[str]) -> Iterator[Path]:
    """The Python files of the package and of the studies; links left out."""
    for root in [Path(p) for p in paths] or [Path(name) for name in FOLDERS]:
        for path in [root] if root.is_file() else sorted(root.rglob("*.py")):
            inside = path.resolve().relative_to(REPO) if path.is_absolute() else path
            if not set(LINKS) & set(inside.parents):
                yield path


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of every docstring, those under fields and constants included."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for statement in body:
            if (
                isinstance(statement, ast.Expr)
                and isinstance(statement.value, ast.Constant)
                and isinstance(statement.value.value, str)
            ):
                yield statement.lineno, statement.value.value


def array_aliases(trees: dict[Path, ast.Module]) -> set[str]:
    """Names of aliases that stand for arrays, such as `FloatImage = NDArray[np.float32]`."""
    return {
        node.targets[0].id
        for tree in trees.values()
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Subscript | ast.Attribute | ast.BinOp)
        and ARRAYS.search(ast.unparse(node.value))
        and not JAXTYPED.search(ast.unparse(node.value))
        and "Callable" not in ast.unparse(node.value)
    }


def public_functions(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef, str]]:
    """Public functions and methods of public classes, with the docstring of the class."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node, ""
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for member in node.body:
                if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                    yield member, ast.get_docstring(node) or ""


def annotations(function: ast.FunctionDef) -> list[str]:
    """Annotations of parameters and result, as text; of `Annotated` the type alone."""
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    found = [a.annotation for a in every if a.annotation] + [function.returns]
    return [ast.unparse(_bare(one)) for one in found if one is not None]


def _bare(annotation: ast.expr) -> ast.expr:
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Annotated":
        assert isinstance(annotation.slice, ast.Tuple)
        return annotation.slice.elts[0]
    return annotation


def lacking(function: ast.FunctionDef, owner: str, aliases: set[str]) -> list[str]:
    """What of shape, dtype and range a function that takes or gives arrays does not say."""
    texts = annotations(function)
    bare = [
        text
        for text in texts
        if not text.startswith("Callable")
        and (ARRAYS.search(text) or aliases & set(NAMES.findall(text)))
        and not JAXTYPED.search(text)
    ]
    typed = [text for text in texts if JAXTYPED.search(text)]
    if not bare and not typed:
        return []
    told = f"{ast.get_docstring(function) or ''}\n{owner}"
    wanted = {"range or unit": RANGE}
    if bare:
        wanted |= {"shape": SHAPE, "dtype": DTYPE}
    aliased = bare and all(
        not ARRAYS.search(text) for text in bare
    )  # an alias of a fixed dtype says it: FloatImage
    if aliased:
        wanted.pop("dtype")
    return [name for name, pattern in wanted.items() if not pattern.search(told)]


def problems(paths: list[str]) -> Iterator[str]:
    """One line for each docstring that breaks a rule."""
    every = {path: ast.parse(path.read_text("utf-8")) for path in files([])}
    aliases = array_aliases(every)
    for path in files(paths):
        tree = every.get(path) or ast.parse(path.read_text("utf-8"))
        for line, text in docstrings(tree):
            if FRAGMENT.match(text.strip()):
                yield f"{path}:{line}: first line does not stand alone: {text.strip()[:60]!r}"
        shipped = "studies" not in path.parts
        for function, owner in public_functions(tree) if shipped else ():
            if missing := lacking(function, owner, aliases):
                yield f"{path}:{function.lineno}: {function.name} does not say {', '.join(missing)}"


def main() -> int:
    """Print what breaks a rule; 1 if anything does."""
    found = list(problems(sys.argv[1:]))
    print("\n".join(found) or "docstrings: all stand alone and say shape, dtype and range")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
