"""Every small change of a module that a test should notice, as syntax trees.

A mutant is one change: an operator or comparison for its neighbour, a number plus one, True for
False, a word with a letter more, a condition turned round, nothing in place of what is returned or
assigned, a call or a refusal left out. Not changed are sentences (strings with a blank in them),
what a `raise` says, documentation and annotations: wording is nobody's promise.
"""

import ast
import copy

SWAPS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div, ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitAnd,
    ast.And: ast.Or, ast.Or: ast.And, ast.UAdd: ast.USub, ast.USub: ast.UAdd,
}  # fmt: skip


def mutants(source):
    """Yield (lines, function, before, after, tree) for each change; the tree is lent for a while.

    `lines` are those of the statement that is changed, without the body of a compound one.
    """
    tree = ast.parse(source)
    for parent, field, index, node, owner, lines in list(_places(tree, "module", ())):
        for change in _changes(node):
            after = ast.copy_location(change(copy.copy(node)), node)
            _put(parent, field, index, after)
            ast.fix_missing_locations(after)
            yield lines, owner, ast.unparse(node), ast.unparse(after), tree
            _put(parent, field, index, node)


def _places(node, owner, lines):
    """Each node that may be changed: parent, field and index, itself, function, lines."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        owner = node.name if owner == "module" else f"{owner}.{node.name}"
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "format_spec"):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or _is_documentation(child):
                continue
            if isinstance(child, ast.stmt):
                lines = _lines(child)
            if hasattr(child, "lineno") and not (_is_piece(child) and _is_wording(node)):
                yield node, field, index, child, owner, lines
            if not isinstance(child, ast.Raise):
                yield from _places(child, owner, lines)


def _lines(statement):
    body = getattr(statement, "body", None)
    last = max(statement.lineno, body[0].lineno - 1) if body else statement.end_lineno
    return range(statement.lineno, last + 1)


def _put(parent, field, index, node):
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _is_documentation(node):
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _changes(node):
    """The changes of one node, each a function from it to another."""
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            yield _with_item("ops", place, SWAPS[type(operator)])
    elif isinstance(node, (ast.BinOp, ast.BoolOp, ast.AugAssign, ast.UnaryOp)):
        if type(node.op) in SWAPS and not _is_text(node):
            yield _with("op", SWAPS[type(node.op)])
        elif isinstance(node.op, ast.Not):
            yield lambda node: node.operand
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield lambda node: ast.Constant(not node.value)
        elif isinstance(node.value, (int, float)):
            yield lambda node: ast.Constant(node.value + 1)
        elif isinstance(node.value, (str, bytes)) and not _is_sentence(node.value):
            more = "X" if isinstance(node.value, str) else b"X"
            yield lambda node: ast.Constant(node.value + more)
    elif isinstance(node, (ast.If, ast.While, ast.IfExp)):
        if not isinstance(node.test, (ast.Compare, ast.BoolOp, ast.UnaryOp)):
            yield _with("test", lambda test: ast.UnaryOp(ast.Not(), test))
    elif isinstance(node, ast.Return):
        if node.value is not None and not _is_none(node.value):
            yield lambda node: ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Assign):
        if not _is_none(node.value) and isinstance(node.targets[0], (ast.Name, ast.Attribute)):
            yield _with("value", lambda _: ast.Constant(None))
    elif isinstance(node, ast.Raise) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ):
        yield lambda _: ast.Pass()
    elif isinstance(node, ast.Break):
        yield lambda _: ast.Continue()
    elif isinstance(node, ast.Continue):
        yield lambda _: ast.Break()


def _with(field, make):
    def change(node):
        old = getattr(node, field)
        setattr(node, field, make() if isinstance(make, type) else make(old))
        return node

    return change


def _with_item(field, place, make):
    def change(node):
        items = list(getattr(node, field))  # a list of its own: the node is a shallow copy
        items[place] = make()
        setattr(node, field, items)
        return node

    return change


def _is_none(node):
    return isinstance(node, ast.Constant) and node.value is None


def _is_sentence(text):
    """Words for people: with a blank in them, or no letter at all, as pieces of sentences have."""
    if isinstance(text, bytes):
        return False
    return " " in text.strip() or "\n" in text or not text.strip()


def _is_text(node):
    """Whether an operator joins sentences, as far as can be seen."""
    sides = (getattr(node, "left", None), getattr(node, "right", getattr(node, "value", None)))
    return any(
        isinstance(side, ast.JoinedStr)
        or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in sides
    )


def _is_piece(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_wording(node):
    """Whether a formatted string is a sentence or a piece of one."""
    return isinstance(node, ast.JoinedStr) and any(
        " " in part.value for part in node.values if _is_piece(part)
    )
