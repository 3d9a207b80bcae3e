"""Conversations as the prompt that a model was trained on: the chat templates of tokenizers.

A template is a program in the language of Jinja, and comes with the files of others. It runs in
jinja2's sandbox with what transformers gives it, on plain values, in a process of its own: what
Python does in C, such as a comparison of two lists, nothing else can end. The first template starts
the process, `sys.executable` anew; it serves all others, ends itself when a template's time is
over, and ends with the process that asks. Where `sys.executable` is no Python, as in an app that
holds one, no template can be rendered.

What operators, filters and calls build has a limited length, checked before or right after it is
built. Lists that a template writes itself, `[x, x]`, are checked only where they are shown. Where
it fills memory with them, or with many values, Linux sets the process a limit; on macOS and Windows
it may take what there is, until its time is over.
"""

import atexit
import contextlib
import faulthandler
import functools
import inspect
import json
import os
import re
import reprlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from ..errors import KzooError
from ..files import DEEPEST, read_json, read_text, writing_file
from .side_files import NAMED, SideFiles

CONFIG, SINGLE, MORE = (
    "tokenizer_config.json",
    "chat_template.jinja",
    "additional_chat_templates",
)
SECONDS = 5.0
LONGEST = 10**7  # characters of a prompt, and of what a template builds on its way
MEMORY = 2**31  # bytes that the process of templates may take beyond what Python itself needs
REASONING = ("reasoning_content", "thinking", "reasoning")
# What Python raises where a template treats a value as what it isn't.
FAILURES = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError)
TAG = "KZOO_CONTINUES_HERE "  # behind a message that is to be continued; blanks may go
# In formats: a number of blanks or digits, and one that another value says, for `%` and `format`.
NUMBER = re.compile(r"\d{3,}")
SAID = re.compile(r"%[^a-zA-Z%]*\*|\{[^}]*\{")
DIGITS = 300  # behind or before a point: float has no more
NAME = re.compile(r"[\w.-]+")  # of a template, which is the name of its file


class ChatTemplate:
    """Makes prompts of conversations.

    Args:
        templates: the source of a template by its name; "default" is used where none is named.
        tokens: the text of special tokens by the names that templates have for them, "bos_token".
    """

    def __init__(self, templates, tokens=None):
        self.templates = dict(templates)
        self.tokens = dict(tokens or {})
        for name, source in self.templates.items():
            if not isinstance(source, str) or len(source) > LONGEST:
                raise KzooError(
                    f"Got {_shown(source)} as the chat template {name!r}; expected text."
                )

    @classmethod
    def load(cls, folder):
        """The chat template among a tokenizer's files, or None where there is none.

        `chat_template.jinja` and `additional_chat_templates/*.jinja` go before the
        `chat_template` of `tokenizer_config.json`, a text or a list of named ones.
        """
        folder = Path(folder)
        config = {}
        if (folder / CONFIG).is_file():
            config = read_json(folder / CONFIG, "the settings of a tokenizer")
        templates = _listed(config.get("chat_template"), folder / CONFIG)
        files = {path.stem: path for path in sorted((folder / MORE).glob("*.jinja"))}
        if (folder / SINGLE).is_file():
            files["default"] = folder / SINGLE
        if files:
            templates = {name: read_text(path, "a chat template") for name, path in files.items()}
        if not templates:
            return None
        files = SideFiles(folder)
        named = {key: files.named(key, files.recipe) for key in NAMED}
        return cls(templates, {key: token for key, token in named.items() if token})

    def __eq__(self, other):
        if not isinstance(other, ChatTemplate):
            return NotImplemented
        return (self.templates, self.tokens) == (other.templates, other.tokens)

    __hash__ = object.__hash__

    def save(self, folder):
        """Write the templates beside a tokenizer's files, from where `load` reads them.

        The names of tokens go into its `tokenizer_config.json`.

        Raises:
            KzooError: for a template whose name can't be that of a file.
        """
        folder = Path(folder)
        for name, source in self.templates.items():
            if not NAME.fullmatch(name) or name.startswith("."):
                raise KzooError(
                    f"Got {_shown(name)} as the name of a chat template; expected letters, digits, "
                    "dots and dashes."
                )
            path = folder / (SINGLE if name == "default" else f"{MORE}/{name}.jinja")
            path.parent.mkdir(exist_ok=True)
            with writing_file(path) as tmp_path:
                tmp_path.write_text(source, encoding="utf-8", newline="")
        if self.tokens:
            path = folder / CONFIG
            config = read_json(path, "the settings of a tokenizer") if path.is_file() else {}
            with writing_file(path) as tmp_path:
                tmp_path.write_text(json.dumps({**config, **self.tokens}, indent=1), "utf-8")

    @staticmethod
    def remove(folder):
        """Remove the templates that another tokenizer has left in a folder."""
        for path in [Path(folder) / SINGLE, *(Path(folder) / MORE).glob("*.jinja")]:
            path.unlink(missing_ok=True)

    def render(
        self,
        messages,
        add_generation_prompt=True,
        continue_final_message=False,
        tools=None,
        documents=None,
        name=None,
        variables=None,
    ):
        """The prompt of a conversation.

        Its special tokens are written out: no others are to be put round it.

        Args:
            messages: [{"role": "user", "content": "Hello"}, ...].
            add_generation_prompt: end with the beginning of an answer.
            continue_final_message: end within the last message, so that it is continued.
            tools: functions that may be called, as JSON schemas.
            documents: [{"title": ..., "text": ...}, ...] to answer from.
            name: the template, where there are several.
            variables: other values that the template knows.

        Raises:
            KzooError: for other messages, and where the template refuses them, is damaged, reaches
                for what it may not see, or comes to no end.
        """
        messages = _checked_messages(messages)
        last = None
        if continue_final_message:
            if add_generation_prompt:
                raise KzooError(
                    "Got add_generation_prompt and continue_final_message; expected one of them: "
                    "the prompt ends either in a new message or within the last one."
                )
            last = messages[-1].get("content")
            if not isinstance(last, str):
                raise KzooError(
                    f"Got {_shown(last)} as the last message's content; expected text to continue."
                )
            messages[-1]["content"] = last + TAG
        name = name or ("tool_use" if tools and "tool_use" in self.templates else "default")
        if name not in self.templates:
            raise KzooError(
                f"Got the name {_shown(name)} for a chat template; expected one of "
                f"{', '.join(self.templates)}."
            )
        values = {
            **_plain(self.tokens),
            **_plain(variables or {}),
            "messages": messages,
            "tools": _plain(tools),
            "documents": _plain(documents),
            "add_generation_prompt": bool(add_generation_prompt),
        }
        request = {"source": self.templates[name], "values": values, "seconds": SECONDS}
        answer = _interpreter(os.getpid()).answer(request)
        if "text" not in answer:
            raise KzooError(answer["error"])
        return answer["text"] if last is None else _cut(answer["text"], last)


# -- the process of templates --------------------------------------------------------------------

# The asking process' own places of modules; its folder is none of them unless it says so (-I).
COMMAND = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.buffer.readline()); "
    "from kzoo.text.chat import serve; serve()"
)


class _Interpreter:
    """A Python process that renders templates, one after another; it starts when first asked."""

    def __init__(self):
        self.lock = threading.Lock()
        self.process = None

    def answer(self, request):
        """What `serve` makes of a request: {"text": ...}, or {"error": a sentence}."""
        try:
            line = json.dumps(request)
        except ValueError as error:  # an integer of thousands of digits
            raise KzooError(
                f"Got values that JSON can't write ({error}); expected shorter ones."
            ) from None
        with self.lock:
            try:
                if self.process is None or self.process.poll() is not None:
                    self._start()
                answer = self._exchange(line)
            except BaseException:  # such as Ctrl-C: its answer would be that of the next request
                self.end()
                raise
            if answer is None:
                self.end()
        return answer or {
            "error": "Got a chat template that runs for more than "
            f"{request['seconds']:g} seconds, or ends Python itself; expected one that comes to "
            "an end."
        }

    def _start(self):
        path = [str(entry or os.curdir) for entry in sys.path]
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-c", COMMAND],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
            ready = self._exchange(json.dumps(path))
        except (OSError, TypeError, ValueError):
            ready = None
        if ready != {}:
            self.end()
            raise KzooError(
                f"Got {sys.executable!r} to run chat templates in, which doesn't start as Python "
                "with kzoo and jinja2; expected a program that does as sys.executable."
            )

    def _exchange(self, line):
        """The process' answer to a line of JSON, or None where the process ended."""
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            return None
        answer = self.process.stdout.readline()
        return json.loads(answer) if answer.endswith(b"\n") else None

    def end(self):
        """End the process, whose answer nobody waits for."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            with contextlib.suppress(OSError):  # a line that was never written
                process.stdin.close()
            process.stdout.close()
            process.wait()


@functools.lru_cache(maxsize=1)
def _interpreter(number):
    """The interpreter of the process of this number; a fork has its own."""
    interpreter = _Interpreter()
    atexit.register(lambda: os.getpid() == number and interpreter.end())
    return interpreter


def serve():
    """Render templates for the process that writes requests: a line of JSON each, and each answer.

    The first line, {}, says that it can. A watch in C ends the process where an answer takes more
    than the request's seconds.
    """
    _compiled("")  # imports jinja2 before the memory is limited and the first time runs
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks.
    _limit_memory()
    print("{}", flush=True)
    with open(os.devnull, "w") as nowhere:
        for line in sys.stdin.buffer:
            request = json.loads(line)
            faulthandler.dump_traceback_later(request["seconds"], exit=True, file=nowhere)
            answer = json.dumps(_answer(request["source"], request["values"]))
            faulthandler.cancel_dump_traceback_later()
            print(answer, flush=True)


def _limit_memory():
    """Where the system counts a process' memory by addresses: Linux."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _answer(source, values):
    try:
        return {"text": _joined(_compiled(source).generate(values))}
    except _TooLong as failure:
        received = f"a chat template that {failure}"
    except (RecursionError, MemoryError):
        _compiled.cache_clear()  # for the next template
        received = "a chat template that needs too much memory"
    except Exception as failure:  # jinja2's, and whatever Python raises of the template's code
        reason = " ".join(str(failure).split()) or type(failure).__name__
        return {
            "error": f"Got messages that the chat template can't show ({reason}); expected a sound "
            "template, and messages as its model takes them."
        }
    return {"error": f"Got {received}; expected one that comes to an end."}


# -- the limits of what a template builds --------------------------------------------------------


class _TooLong(BaseException):
    """A template ran over its limits. No Exception, for nothing in it may catch this."""


def _joined(pieces):
    """The pieces of a text, unless there are too many."""
    text, length = [], 0
    for piece in pieces:
        text.append(piece)
        length += len(piece)
        if length > LONGEST:
            raise _TooLong(f"writes more than {LONGEST} characters")
    return "".join(text)


def _concat(values):
    """The operator `~`, which could double a text until memory ends."""
    _check(_size(values))
    return _joined(map(str, values))


def _size(*values):
    """Characters and entries of values and of all that is in them, counted once for each place."""
    known = {}  # A list that holds another twice, and so on, has more places than can be visited.

    def size(value):
        if isinstance(value, (str, bytes)):
            return len(value)
        if type(value) is int:
            return value.bit_length() // 3
        if not isinstance(value, (list, tuple, dict)):
            return 1
        if id(value) not in known:
            inside = [*value, *value.values()] if isinstance(value, dict) else value
            known[id(value)] = len(value) + sum(map(size, inside))
        return known[id(value)]

    return sum(map(size, values))


def _check(size):
    """That a value of so many characters or entries may be made."""
    if size > LONGEST:
        raise _TooLong(f"builds a value of more than {LONGEST} characters")


def _check_operator(operator, left, right):
    """That an operator of a template makes no value that fills the memory."""
    sizes = [_size(each) for each in (left, right) if isinstance(each, (str, list, tuple))]
    whole = [each for each in (left, right) if isinstance(each, int)]
    _check(
        {
            "+": sum(sizes),
            "*": sum(sizes) * sum(whole) if sizes else sum(each.bit_length() for each in whole),
            "**": whole[0].bit_length() * whole[1] if len(whole) == 2 else 0,
            "%": _of_format(left, right) if isinstance(left, str) else 0,
        }[operator]
    )


def _of_format(text, *values):
    """The most characters that a format makes of values."""
    text = _text(text)
    if SAID.search(text):
        return LONGEST + 1
    widths = sum(int(number[:9]) for number in NUMBER.findall(text))
    return len(text) + widths + (text.count("%") + text.count("{")) * _size(*values)


def _of_join(items, separator):
    return _size(items) + len(items) * _width(separator)


def _of_replace(text, old, new, *_):
    text, old, new = map(_text, (text, old, new))
    return len(text) + (1 + len(text) // max(1, len(old))) * len(new)


def _of_filling(value, count, *filling):
    return _width(count) * (1 + _size(*filling))


def _of_lines(text, width=4, *_):
    text = _text(text)
    return len(text) + (1 + text.count("\n")) * _width(width)


def _of_width(value, width, *_):
    return _width(width)


def _of_json(value, ensure_ascii=False, indent=None, separators=None, *_):
    return _size(value) * (1 + _width(indent) + _size(separators))


def _width(value):
    """The characters that a template asks for by a number, or by a text of them."""
    return len(value) if isinstance(value, str) else value if isinstance(value, int) else 0


def _text(value):
    _check(_size(value))
    return str(value)


# What may make more than it is given, filters and methods by name: the most characters or entries
# that come of the value and the arguments.
FILTERS = {
    "batch": _of_filling,
    "center": _of_width,
    "format": _of_format,
    "indent": _of_lines,
    "join": lambda value, separator="", *_: _of_join(value, separator),
    "pprint": _size,
    "replace": _of_replace,
    "round": lambda value, digits=0, *_: (LONGEST + 1) * (_width(digits) > DIGITS),
    "slice": _of_filling,
    "string": _size,
    "tojson": _of_json,
    "wordwrap": lambda text, *rest: len(_text(text)) * (1 + _size(*rest[2:])),
    "xmlattr": _size,
}
METHODS = {
    "center": _of_width,
    "expandtabs": lambda text, width=8: len(text) + text.count("\t") * _width(width),
    "format": _of_format,
    "format_map": _of_format,
    "fromkeys": lambda _, keys, *value: len(keys) * (1 + _size(*value)),
    "join": lambda separator, items: _of_join(items, separator),
    "ljust": _of_width,
    "replace": _of_replace,
    "rjust": _of_width,
    "to_bytes": _of_width,
    "translate": lambda text, table: len(text) * (1 + _size(table)),
    "zfill": _of_width,
}


def _check_made(bound, *values):
    """That a filter or a method makes no value that fills the memory."""
    try:
        size = bound(*values)
    except FAILURES:
        return  # Other values than it takes: it says so itself.
    _check(size)


def _settled(values):
    """The values, what is an iterator among them as a list, whose size is known."""
    return [list(value) if isinstance(value, Iterator) else value for value in values]


def _guarded(bound, function):
    """A filter that checks what it made, and before where a `bound` says how much it will make."""
    signature = inspect.signature(function)
    inner = int(hasattr(function, "jinja_pass_arg"))  # jinja2 hands some its own state first.

    @functools.wraps(function)
    def guarded(*args, **options):
        args = _settled(args)
        try:
            given = signature.bind(*args, **options)
        except TypeError:
            return function(*args, **options)  # which says so itself
        given.apply_defaults()
        _check_made(bound, *given.args[inner:], *given.kwargs.values())
        return function(*args, **options)

    return _checked(guarded if bound else function)


def _checked(function):
    """A function whose values are checked, of text that it escaped, say."""

    @functools.wraps(function)
    def checked(*args, **options):
        value = function(*args, **options)
        _check(_size(value))
        return value

    return checked


@functools.lru_cache(maxsize=32)
def _compiled(source):
    """A template in the sandbox, with what transformers' templates expect."""
    from jinja2 import nodes
    from jinja2.exceptions import SecurityError, TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import Namespace
    from jinja2.visitor import NodeTransformer

    class Concats(NodeTransformer):
        def visit_Concat(self, node):
            self.generic_visit(node)
            parts = nodes.List(node.nodes, lineno=node.lineno)
            return nodes.Filter(parts, "concat", [], [], None, None, lineno=node.lineno)

    class Environment(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset(["*", "**", "+", "%"])

        def call_binop(self, context, operator, left, right):
            _check_operator(operator, left, right)
            return super().call_binop(context, operator, left, right)

        def call(self, context, function, *args, **options):
            args = _settled(args)
            method = getattr(function, "__wrapped__", function)  # jinja2 has its own `format`.
            owner = getattr(method, "__self__", None)
            bound = METHODS.get(getattr(method, "__name__", None))
            if bound and isinstance(owner, (str, bytes, int, PlainDict)):
                _check_made(bound, owner, *args, *options.values())
            return _checked(super().call)(context, function, *args, **options)

    class GenerationTag(Extension):
        """`{% generation %}` marks what an assistant wrote, for training: here it is only text."""

        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    class PlainNamespace(Namespace):
        """Values that a template sets, none of Python's inner ones."""

        def __init__(*args, **values):
            self, *others = args
            for key in dict(*others, **values):
                PlainNamespace.check(key)
            Namespace.__init__(self, *others, **values)

        def __setitem__(self, key, value):
            PlainNamespace.check(key)
            super().__setitem__(key, value)

        @staticmethod
        def check(key):
            if isinstance(key, str) and key.startswith("_"):
                raise SecurityError(f"it sets the attribute {key!r} of a namespace")

    class PlainDict:
        """`dict(...)` and `dict.fromkeys`, and nothing else of the class."""

        def __call__(self, *args, **values):
            return dict(*args, **values)

        def fromkeys(self, *args):
            return dict.fromkeys(*args)

    def raise_exception(message):
        raise TemplateError(message)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(
            value,
            ensure_ascii=ensure_ascii,
            indent=indent,
            separators=separators,
            sort_keys=sort_keys,
        )

    environment = Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[GenerationTag, loopcontrols],
        finalize=lambda value: value if isinstance(value, str) else _text(value),
    )
    environment.filters["tojson"] = tojson
    for name, function in environment.filters.items():
        environment.filters[name] = _guarded(FILTERS.get(name), function)
    environment.filters["concat"] = _concat
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    environment.globals["dict"] = PlainDict()
    environment.globals["namespace"] = PlainNamespace
    return environment.from_string(Concats().visit(environment.parse(source)))


def _listed(templates, source):
    """The templates that a file has: one, or a list of named ones."""
    if isinstance(templates, list):
        entries = [each for each in templates if isinstance(each, dict)]
        named = {each.get("name"): each.get("template") for each in entries}
        if len(named) == len(templates) and all(isinstance(key, str) for key in named):
            return named
    elif templates is None or isinstance(templates, str):
        return {} if templates is None else {"default": templates}
    raise KzooError(
        f"Got {_shown(templates)} as the chat_template in {source}; expected a text, or a "
        'list of {"name": ..., "template": ...}.'
    )


def _checked_messages(messages):
    """A copy of the messages as templates read them: without what is None, reasoning by its name.

    Older names of `reasoning_content` stand for it.
    """
    if not isinstance(messages, (list, tuple)) or not messages:
        raise KzooError(f"Got {_shown(messages)} as messages; expected a list of one or more.")
    checked = []
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise KzooError(
                f'Got {_shown(message)} as a message; expected {{"role": ..., "content": ...}}.'
            )
        message = {key: value for key, value in _plain(message).items() if value is not None}
        reasoning = next((message[key] for key in REASONING if key in message), None)
        if reasoning is not None:
            message = {"thinking": reasoning, **message, "reasoning_content": reasoning}
        checked.append(message)
    return checked


def _shown(value):
    """The beginning of a value's repr, which must not nest too deep for one."""
    return reprlib.repr(value)[:40]


def _plain(value, room=DEEPEST):
    """A copy of JSON's values; a template gets no object that has methods of its own."""
    if not room:
        raise KzooError(
            f"Got lists and dicts more than {DEEPEST} deep for a chat template; expected values "
            "that JSON can write."
        )
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {str(key): _plain(each, room - 1) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each, room - 1) for each in value]
    raise KzooError(
        f"Got {_shown(value)} for a chat template; expected values that JSON can write."
    )


def _cut(text, last):
    """The text up to the end of the last message, whose blanks the template may have cut."""
    place = text.rfind(TAG.strip())
    if place < 0 or last.strip() not in text:
        raise KzooError(
            "Got a chat template that leaves out the last message; expected one that shows it, for "
            "it is to be continued."
        )
    return text[:place] if text.startswith(TAG, place) else text[:place].rstrip()
