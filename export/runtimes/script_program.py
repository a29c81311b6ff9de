"""The program of a TorchScript file, read as text and held against what unifmir's exports use.

What is traced has one straight line of tensor operations in each `forward`: no branches, no
function of its own and nothing that runs when the file is loaded. The one loop is over the parts of
a list, each of which gives one result (`unifmir.export.formats.script_loop`). So a short list says
all that a file may do, and whatever is not on it is refused before torch sees the file.
"""

import ast
import re
from collections.abc import Iterator

from unifmir.checkpoint.inert_pickle import read_inert
from unifmir.checkpoint.script_archive import is_plain
from unifmir.checkpoint.sniffing import script_root
from unifmir.errors import ArchiveError, ExportError, UnifmirError
from unifmir.zip_archive import Archive, opened_zip

OPERATORS = frozenset(
    (
        "__and__",
        "__or__",
        "_convolution",
        "add",
        "all",
        "amax",
        "amin",
        "arange",
        "avg_pool2d",
        "batch_norm",
        "bitwise_not",
        "cat",
        "clamp",
        "clamp_min",
        "device",
        "div",
        "eq",
        "exp",
        "expand_as",
        "fft_fft2",
        "fft_fftshift",
        "flatten",
        "floor_divide",
        "floordiv",
        "full_like",
        "ge",
        "gelu",
        "gt",
        "hardtanh",
        "index",
        "index_select",
        "isfinite",
        "layer_norm",
        "leaky_relu",
        "len",
        "linalg_vector_norm",
        "linear",
        "lt",
        "matmul",
        "max_pool2d",
        "max_pool3d",
        "mean",
        "minimum",
        "mul",
        "narrow",
        "ne",
        "ones_like",
        "pad",
        "permute",
        "pixel_shuffle",
        "pixel_unshuffle",
        "pow",
        "relu",
        "remainder",
        "reshape",
        "roll",
        "rsub",
        "select",
        "sigmoid",
        "size",
        "slice",
        "softmax",
        "split",
        "sqrt",
        "square",
        "sub",
        "sum",
        "tanh",
        "to",
        "transpose",
        "unflatten",
        "unsqueeze",
        "upsample_bilinear2d",
        "upsample_nearest2d",
        "upsample_nearest3d",
        "view_as_real",
        "where",
    )
)
"""Functions of torch that the exported networks call; none reads, writes or calls anything else."""
MAX_TEXT_BYTES = 4_000_000
"""Limit of all of a file's program."""
_METHOD = re.compile(r"forward\d*")
_DOTTED = re.compile(r"[\w.]+")
_TYPES = "__annotations__"
_LISTS = ("__parameters__", "__buffers__", _TYPES)
_NEW_LIST = "annotate(List[Tensor], [])"
_PLACES = re.compile(r"range\(torch\.len\(\w+\)\)")
"""Places of a list, over which a loop may run."""
_PLAIN = (ast.Constant, ast.List, ast.Tuple, ast.Name, ast.Subscript, ast.UnaryOp, ast.USub)
_SYNTAX = (*_PLAIN, ast.Attribute, ast.Call, ast.keyword, ast.Load, ast.Store)
"""Parts that an expression may be made of."""


def require_plain_program(name: str, content: bytes) -> None:
    """Refuse the content of a TorchScript file that does anything but compute with tensors.

    Raises
    ------
    ExportError
        It does, or it is damaged; nothing of it was run.
    """
    try:
        with opened_zip(content) as archive:
            root = script_root(archive.members)
            if root is None:
                raise ExportError("it has no data.pkl beside its constants.pkl")
            for values in ("data.pkl", "constants.pkl"):
                read_inert(archive.read(f"{root}{values}"), is_plain)
            for module, text in _texts(archive, root):
                _check_module(module, text)
    except ArchiveError as error:
        raise ExportError(f"{name}: not a TorchScript file ({error})") from error
    except (UnifmirError, ValueError) as error:  # ValueError: what is no text in UTF-8
        raise ExportError(f"{name} is refused, and nothing of it was run: {error}") from error


def _texts(archive: Archive, root: str) -> Iterator[tuple[str, str]]:
    programs = [m for name, m in archive.members.items() if name.startswith(f"{root}code/")]
    if sum(member.file_size for member in programs) > MAX_TEXT_BYTES:
        raise ExportError(f"its program is longer than {MAX_TEXT_BYTES} bytes")
    for member in programs:
        name = member.filename.removeprefix(root)
        if name.endswith(".py"):
            yield name, archive.read(member.filename).decode("utf-8")
        elif not name.endswith(".debug_pkl"):  # which torch reads for messages alone
            raise ExportError(f"{name[:80]!r} is no part of a program")


def _check_module(name: str, text: str) -> None:
    try:
        tree = ast.parse(text)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ExportError(f"{name} is no program of a traced module") from error
    for statement in tree.body:
        if not isinstance(statement, ast.ClassDef) or statement.decorator_list:
            raise _refused(name, statement)
        for part in statement.body:
            if isinstance(part, ast.FunctionDef):
                _check_method(name, part)
            elif not _is_field(part):
                raise _refused(name, part)


def _is_field(part: ast.stmt) -> bool:
    """Whether a part of a class declares an attribute and its type, or lists the names of some."""
    if isinstance(part, ast.AnnAssign):
        return part.value is None and isinstance(part.target, ast.Name)
    if not isinstance(part, ast.Assign) or len(part.targets) != 1:
        return False
    target, value = part.targets[0], part.value
    if isinstance(target, ast.Subscript):  # a name that is none in Python, such as "0"
        return (
            ast.unparse(target.value) == _TYPES
            and _DOTTED.fullmatch(ast.unparse(value)) is not None
        )
    return ast.unparse(target) in _LISTS and (
        isinstance(value, ast.List) and all(isinstance(item, ast.Constant) for item in value.elts)
    )


def _check_method(name: str, method: ast.FunctionDef) -> None:
    # __setstate__ and its like run when a file is loaded.
    if not _METHOD.fullmatch(method.name) or method.decorator_list or method.args.defaults:
        raise _refused(name, method)
    names, lists = {argument.arg for argument in method.args.args}, set[str]()
    for statement in method.body:
        if isinstance(statement, ast.For):
            _check_loop(name, statement, names, lists)
        elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.Return):
            _check_line(name, statement)
            given = set(_names(*_targets(statement)))
            names |= given
            if statement.value is not None and ast.unparse(statement.value) == _NEW_LIST:
                lists |= given
        else:
            raise _refused(name, statement)


def _check_loop(name: str, loop: ast.For, names: set[str], lists: set[str]) -> None:
    """Refuse a loop unless each turn is the same for its own part, and adds to one of `lists`.

    No turn sees what another has made: no name that is known before is given anew.
    """
    lines = [line for line in loop.body if isinstance(line, ast.Assign)]
    given = _names(loop.target, *(target for line in lines for target in line.targets))
    if (
        len(lines) < len(loop.body)
        or loop.orelse
        or not _PLACES.fullmatch(ast.unparse(loop.iter))
        or not names.isdisjoint(given)
    ):
        raise _refused(name, loop)
    for line in lines:
        value = line.value
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "torch.append":
            if len(value.args) != 2 or ast.unparse(value.args[0]) not in lists:
                raise _refused(name, value)
            value = value.args[1]
        _check_line(name, ast.Assign(line.targets, value))
        if not lists.isdisjoint(_names(value)):
            raise _refused(name, line)


def _check_line(name: str, line: ast.Assign | ast.AnnAssign | ast.Return) -> None:
    if not all(_is_new_name(target) for target in _targets(line)):
        raise _refused(name, line)  # it would change the image or the module
    if line.value is not None:
        _check_expression(name, line.value)


def _targets(statement: ast.Assign | ast.AnnAssign | ast.Return) -> list[ast.expr]:
    if isinstance(statement, ast.Assign):
        return statement.targets
    return [statement.target] if isinstance(statement, ast.AnnAssign) else []


def _names(*expressions: ast.expr) -> list[str]:
    nodes = (node for expression in expressions for node in ast.walk(expression))
    return [node.id for node in nodes if isinstance(node, ast.Name)]


def _is_new_name(target: ast.expr) -> bool:
    if isinstance(target, ast.Tuple):
        return all(_is_new_name(one) for one in target.elts)
    return isinstance(target, ast.Name)


def _check_expression(name: str, expression: ast.expr) -> None:
    for node in ast.walk(expression):
        if not isinstance(node, _SYNTAX) or (isinstance(node, ast.Call) and not _is_known(node)):
            raise _refused(name, node)


def _is_known(call: ast.Call) -> bool:
    """Whether a call is of an operator on the list, of a module's `forward`, or of no effect."""
    called = call.func
    if isinstance(called, ast.Name):
        return called.id in ("int", "annotate") or (
            called.id == "getattr"
            and len(call.args) == 2
            and isinstance(call.args[1], ast.Constant)
        )
    if not isinstance(called, ast.Attribute):
        return False
    of = ast.unparse(called.value)
    if of == "torch":
        return called.attr in OPERATORS
    if of == "ops.prim":
        return called.attr in ("NumToTensor", "is_cuda", "max")
    return isinstance(called.value, ast.Name) and _METHOD.fullmatch(called.attr) is not None


def _refused(name: str, node: ast.AST) -> ExportError:
    shown = ast.unparse(node).splitlines()[0][:80]
    return ExportError(f"{name} holds {shown!r}, which no network of unifmir needs")
