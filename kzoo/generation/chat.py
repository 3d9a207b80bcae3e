"""Conversations as the prompt that a model was trained on: the chat templates of tokenizers.

A template is a program in the language of Jinja, and comes with the files of others. It runs in
jinja2's sandbox with what transformers gives it, on plain values, for a limited time, and what it
builds has a limited length.
"""

import json
import re
import sys
import time
from datetime import datetime
from pathlib import Path

from ..errors import KzooError
from ..files import read_json, read_text

CONFIG, SPECIAL, SINGLE, MORE = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "additional_chat_templates",
)
TOKENS = (
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
)  # fmt: skip
SECONDS = 5.0
LONGEST = 10**7  # characters of a prompt, and of what a template builds on its way
REASONING = ("reasoning_content", "thinking", "reasoning")
# What Python raises where a template treats a value as what it isn't.
FAILURES = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError)
TAG = "KZOO_CONTINUES_HERE "  # behind a message that is to be continued; blanks may go
WIDE = re.compile(r"\d{8}|\*")  # in a "%" format: more blanks than a prompt has, or any number


class ChatTemplate:
    """Makes prompts of conversations.

    Args:
        templates: the source of a template by its name; "default" is used where none is named.
        tokens: the text of special tokens by the names that templates have for them, "bos_token".
    """

    def __init__(self, templates, tokens=None):
        self.templates = dict(templates)
        self.tokens = dict(tokens or {})
        self._compiled = {}
        for name, source in self.templates.items():
            if not isinstance(source, str) or len(source) > LONGEST:
                raise KzooError(f"Got {source!r:.40} as the chat template {name!r}; expected text.")

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
        names = {}
        if (folder / SPECIAL).is_file():
            names = read_json(folder / SPECIAL, "the special tokens")
        named = {key: _content({**names, **config}.get(key)) for key in TOKENS}
        return cls(templates, {key: token for key, token in named.items() if token})

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
        from jinja2 import TemplateError

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
                    f"Got {last!r:.40} as the last message's content; expected text to continue."
                )
            messages[-1]["content"] = last + TAG
        name = name or ("tool_use" if tools and "tool_use" in self.templates else "default")
        if name not in self.templates:
            raise KzooError(
                f"Got the name {name!r:.40} for a chat template; expected one of "
                f"{', '.join(self.templates)}."
            )
        values = {
            **self.tokens,
            **_plain(variables or {}),
            "messages": messages,
            "tools": _plain(tools),
            "documents": _plain(documents),
            "add_generation_prompt": add_generation_prompt,
        }
        try:
            template = self._template(name)
            with _Limit(SECONDS):
                text = _joined(template.generate(values))
        except _TooLong as error:
            raise KzooError(
                f"Got a chat template that {error}; expected one that comes to an end."
            ) from None
        except (RecursionError, MemoryError):
            raise KzooError(
                "Got a chat template that needs too much memory; expected one that comes to an end."
            ) from None
        except (TemplateError, *FAILURES) as error:
            reason = " ".join(str(error).split())
            raise KzooError(
                f"Got messages that the chat template can't show ({reason}); expected a sound "
                "template, and messages as its model takes them."
            ) from None
        return text if last is None else _cut(text, last)

    def _template(self, name):
        if name not in self._compiled:
            self._compiled[name] = _compiled(self.templates[name])
        return self._compiled[name]


class _TooLong(BaseException):
    """A template ran over its limits. No Exception, for nothing in it may catch this."""


class _Limit:
    """Ends what this thread does in Python after some seconds."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __enter__(self):
        self.end = time.monotonic() + self.seconds
        self.before = sys.gettrace()
        sys.settrace(self._watch)

    def __exit__(self, *_):
        sys.settrace(self.before)

    def _watch(self, frame, event, argument):
        if time.monotonic() > self.end:
            raise _TooLong(f"runs for more than {self.seconds:g} seconds")
        return self._watch


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
    return _joined(map(str, values))


def _check_size(operator, left, right):
    """That an operator of a template makes no value that fills the memory."""
    sizes = [len(each) for each in (left, right) if isinstance(each, (str, list, tuple))]
    whole = [each for each in (left, right) if isinstance(each, int)]
    size = {
        "+": sum(sizes),
        "*": sum(sizes) * sum(whole) if sizes else sum(each.bit_length() for each in whole),
        "**": whole[0].bit_length() * whole[1] if len(whole) == 2 else 0,
        "%": LONGEST + 1 if isinstance(left, str) and WIDE.search(left) else 0,
    }[operator]
    if size > LONGEST:
        raise _TooLong(f"builds a value of more than {LONGEST} characters")


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
            _check_size(operator, left, right)
            return super().call_binop(context, operator, left, right)

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
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols]
    )
    environment.filters["tojson"] = tojson
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
        f"Got {templates!r:.40} as the chat_template in {source}; expected a text, or a list of "
        '{"name": ..., "template": ...}.'
    )


def _content(token):
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else None


def _checked_messages(messages):
    """A copy of the messages as templates read them: without what is None, reasoning by its name.

    Older names of `reasoning_content` stand for it.
    """
    if not isinstance(messages, (list, tuple)) or not messages:
        raise KzooError(f"Got {messages!r:.40} as messages; expected a list of one or more.")
    checked = []
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise KzooError(
                f'Got {message!r:.40} as a message; expected {{"role": ..., "content": ...}}.'
            )
        message = {key: value for key, value in _plain(message).items() if value is not None}
        reasoning = next((message[key] for key in REASONING if key in message), None)
        if reasoning is not None:
            message = {"thinking": reasoning, **message, "reasoning_content": reasoning}
        checked.append(message)
    return checked


def _plain(value):
    """A copy of JSON's values; a template gets no object that has methods of its own."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    raise KzooError(f"Got {value!r:.40} for a chat template; expected values that JSON can write.")


def _cut(text, last):
    """The text up to the end of the last message, whose blanks the template may have cut."""
    place = text.rfind(TAG.strip())
    if place < 0 or last.strip() not in text:
        raise KzooError(
            "Got a chat template that leaves out the last message; expected one that shows it, for "
            "it is to be continued."
        )
    return text[:place] if text.startswith(TAG, place) else text[:place].rstrip()
