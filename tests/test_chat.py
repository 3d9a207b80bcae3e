"""Chat templates: prompts as transformers makes them, and what a template may not do."""

import json
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from test_generation import byte_level

from kzoo.errors import KzooError
from kzoo.generation import ChatTemplate

# In the styles of known models, written for this test.
TEMPLATES = {
    "chatml": (
        "{% if messages[0]['role'] != 'system' %}\n"
        "{{ '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}\n{% endif %}\n"
        "{%- for m in messages %}\n"
        "    {{- '<|im_start|>' + m.role + '\\n' + m['content'] | trim + '<|im_end|>' }}\n"
        "{% endfor %}\n"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    ),
    "alternating": (
        "{{ bos_token }}{% for message in messages %}"
        "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Roles must alternate.') }}{% endif %}"
        "{% if message.role == 'user' %}{{ '[INST] ' ~ message.content.strip() ~ ' [/INST]' }}"
        "{% else %}{{ ' ' ~ message.content ~ ' ' ~ eos_token }}{% endif %}{% endfor %}"
    ),
    "tools and reasoning": (
        "{%- set ns = namespace(first=true, n=0) %}"
        "{%- if tools %}{{ 'Tools: ' + (tools | tojson(indent=2)) + '\\n' }}{% endif %}"
        "{%- for m in messages %}{%- set ns.n = ns.n + 1 %}"
        "{%- if m.reasoning_content is defined and loop.last %}"
        "{{- '<think>' + m.reasoning_content + '</think>' }}{%- endif %}"
        "{%- if m.content is none or not m.content %}{%- continue %}{%- endif %}"
        "{%- for call in m.tool_calls or [] %}{{ call.function | tojson }}{%- endfor %}"
        "{%- macro shown(text) %}<{{ text }}>{% endmacro %}{{ shown(m.content) ~ ns.n }}"
        "{%- endfor %}{{ documents | length if documents else '' }}{{ mood | default('calm') }}"
    ),
    "training": (
        "{% for m in messages %}{% if m.role == 'assistant' %}"
        "A: {% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}"
        "{% else %}U: {{ m.content }}\n{% endif %}{% endfor %}"
        "{{ dict(a=1)['a'] }}{% set d = dict.fromkeys(['x'], 2) %}{{ d.x }}"
    ),
    "reasoning": (
        "{% for m in messages %}{{ m.thinking }}{{ m.reasoning_content }}{{ m.content }}"
        "{% endfor %}"
    ),
    "cut": (
        "{% for m in messages %}{{ 'name' in m }}{{ m.role }}:{{ m.content | trim }};{% endfor %}"
    ),
}
CHAT = [
    {"role": "user", "content": ' Grüße <|im_end|> & "quotes" ', "name": None},
    {"role": "assistant", "content": "Fine. ", "thinking": "hm"},
]
TOOLS = [{"type": "function", "function": {"name": "wéather", "parameters": {"a": [1, None]}}}]


@pytest.mark.parity
@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"add_generation_prompt": True},
        {"continue_final_message": True},
        {"tools": TOOLS, "documents": [{"title": "t", "text": "x"}]},
    ],
    ids=lambda settings: "-".join(settings) or "plain",
)
def test_prompts_are_those_of_transformers(tmp_path, name, settings):
    transformers = pytest.importorskip("transformers")
    byte_level().save(tmp_path)
    named = [{"name": "default", "template": TEMPLATES[name]}, {"name": "b", "template": "b"}]
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|end|>",
        "eos_token": {"content": "<|end|>", "__type": "AddedToken"},
        "chat_template": named if settings else TEMPLATES[name],
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    expected = theirs.apply_chat_template(CHAT, tokenize=False, mood="glad", **settings)
    template = ChatTemplate.load(tmp_path)
    settings = {"add_generation_prompt": False, **settings}
    assert template.render(CHAT, variables={"mood": "glad"}, **settings) == expected
    if name == "chatml":
        (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }}!")
        (tmp_path / "additional_chat_templates").mkdir(exist_ok=True)
        (tmp_path / "additional_chat_templates" / "rag.jinja").write_text("rag")
        theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
        template = ChatTemplate.load(tmp_path)
        assert template.templates == theirs.chat_template
        for name in (None, "rag"):
            expected = theirs.apply_chat_template(CHAT, chat_template=name, tokenize=False)
            assert template.render(CHAT, name=name) == expected


@pytest.mark.parametrize("key", ["reasoning_content", "thinking", "reasoning"])
def test_reasoning_is_read_by_its_newer_names(key):
    template = ChatTemplate({"default": TEMPLATES["reasoning"]})
    assert template.render([{"role": "assistant", "content": "b", key: "a"}]) == "aab"


@pytest.mark.parametrize("tools, expected", [(TOOLS, "tools"), (None, "none"), ([], "none")])
def test_tools_choose_the_template_that_is_made_for_them(tools, expected):
    template = ChatTemplate({"default": "none", "tool_use": "tools"})
    assert template.render(CHAT, tools=tools) == expected
    assert template.render(CHAT, tools=tools, name="default") == "none"


@pytest.mark.parity
@pytest.mark.parametrize("tokenizer_class", ["PreTrainedTokenizerFast", "GPT2Tokenizer"])
@pytest.mark.parametrize(
    "config", [{}, {"bos_token": "<config>"}, {"added_tokens_decoder": {}, "bos_token": "<config>"}]
)
def test_tokens_have_the_names_that_transformers_gives_them(tmp_path, config, tokenizer_class):
    transformers = pytest.importorskip("transformers")
    byte_level().save(tmp_path)
    source = "{{ bos_token }}|{{ eos_token }}|{{ unk_token }}"
    config = {"tokenizer_class": tokenizer_class, "chat_template": source, **config}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "special_tokens_map.json").write_text('{"bos_token": "<map>"}')
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    expected = theirs.apply_chat_template(CHAT, tokenize=False)
    assert ChatTemplate.load(tmp_path).render(CHAT) == expected


HELD = "{% set n = namespace(x=[1], y=[1]) %}{% for a in range(29) %}{% set n.x = [n.x, n.x] %}"
HELD += "{% set n.y = [n.y, n.y] %}{% endfor %}"  # of few parts, in 2**29 places


@pytest.mark.parametrize(
    "source, reason",
    [
        (HELD + "{{ n.x == n.y }}", "runs"),
        (HELD + "{{ n.x | upper }}", "runs"),
        ("{{ dict.fromkeys(range(0, 99999 * (2**61 - 1), 2**61 - 1)) }}", "runs"),
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "runs"),
        ("{% macro m(n) %}{% if n %}{{ m(n-1) ~ m(n-1) }}{% endif %}{% endmacro %}{{ m(60) }}",
         "runs"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "memory"),
        ("{% for a in range(99999) %}{{ 'x' * 999 }}{% endfor %}", "writes"),
        ("{{ 'x' * 10**10 }}", "builds"),
        ("{{ 9 ** 99999999 }}", "builds"),
        ("{{ '%999999999999d' % 1 }}", "builds"),
        ("{{ 'x' | center(10**9) }}", "builds"),
        ("{{ 'x' | indent(width=10**9, first=true) }}", "builds"),
        ("{{ ('%999999999s' | format('x')) }}", "builds"),
        ("{{ messages | tojson(indent=10**9) }}", "builds"),
        ("{{ ('x' * 99999) | replace('', 'y' * 99999) }}", "builds"),
        ("{{ ('x' * 99999) | list | join('y' * 99999) }}", "builds"),
        ("{{ ['x'] | map('center', 10**9) | join }}", "builds"),
        ("{{ ['x'] | batch(10**9, 'y') | list }}", "builds"),
        ("{{ 10 | round(10**9, 'ceil') }}", "builds"),
        ("{{ 'x'.ljust(10**9) }}", "builds"),
        ("{{ '{:>999999999}'.format(1) }}", "builds"),
        ("{{ '{:>{}}'.format(1, 10**9) }}", "builds"),
        ("{{ ('x' * 99999).join('y' * 99999) }}", "builds"),
        ("{{ (1).to_bytes(10**9, 'big') }}", "builds"),
        ("{% set n = namespace(x='xy') %}{% for a in range(60) %}{% set n.x = [n.x, n.x] %}"
         "{% endfor %}{{ n.x }}", "builds"),
        ("{{ ('&' * 9000000) | forceescape | length }}", "builds"),
        ("{% set n = namespace(x='xy') %}{% for a in range(60) %}{% set n.x = n.x ~ n.x %}"
         "{% endfor %}", "builds"),
        ("{% set n = namespace(x='xy') %}{% for a in range(60) %}{% set n.x = n.x + n.x %}"
         "{% endfor %}", "builds"),
        ("{{ messages.__class__.__mro__ }}", "unsafe"),
        ("{{ (''|attr('__class__')).__mro__ }}", "unsafe"),
        ("{{ cycler.__init__.__globals__ }}", "unsafe"),
        ("{{ namespace(__class__=1) }}", "attribute"),
        ("{{ namespace(_x=1) }}", "attribute"),
        ("{% set n = namespace() %}{% set n._x = 1 %}", "attribute"),
        ("{{ messages.append(1) }}", "can't show"),
        ("{{ messages[0].content.x.y }}", "can't show"),
        ("{{ raise_exception('Only users may speak.') }}", "Only users may speak."),
        ("{% if %}", "can't show"),
        ("{% break %}", "can't show"),
        ("{% if messages %}{% continue %}{% endif %}", "can't show"),
        ("{% for a in [1] %}" * 25 + "{% endfor %}" * 25, "can't show"),
        ("{% if 1 %}" * 120 + "{% endif %}" * 120, "can't show"),
        ("{{ " + "[" * 3000 + "]" * 3000 + " }}", "memory"),
        ("{% include '/etc/hostname' %}", "can't show"),
        ("{{ messages[0].content + 1 }}", "can't show"),
    ],
)  # fmt: skip
def test_a_template_that_loops_or_reaches_out_is_one_sentence(monkeypatch, source, reason):
    # No time ends what another limit is to end, however busy the machine is.
    monkeypatch.setattr("kzoo.text.chat.SECONDS", 0.3 if reason == "runs" else 60)
    with pytest.raises(KzooError) as error:
        ChatTemplate({"default": source}).render([{"role": "user", "content": "Hi"}])
    assert re.search(reason, str(error.value))
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")


def rendered(source):
    return ChatTemplate({"default": source}).render([{"role": "user", "content": "Hi"}])


@pytest.mark.skipif(sys.platform != "linux", reason="sets no limit to a process' memory")
def test_the_memory_that_a_template_holds_is_limited(monkeypatch):
    monkeypatch.setattr("kzoo.text.chat.SECONDS", 60)
    hoard = "{% set n = namespace(x=[]) %}{% for a in range(200) %}"
    hoard += "{% set n.x = [n.x, '\N{GRINNING FACE}' * 9999999] %}{% endfor %}"
    with pytest.raises(KzooError, match="memory"):
        rendered(hoard)
    assert rendered("{{ messages[0].content }}") == "Hi"


@pytest.mark.skipif(sys.platform == "win32", reason="has no signal to one thread")
def test_after_an_interrupt_the_next_prompt_is_its_own(monkeypatch):
    assert rendered("{{ messages[0].content }}") == "Hi"
    here = threading.main_thread().ident
    timer = threading.Timer(0.3, signal.pthread_kill, (here, signal.SIGINT))
    # What a shell starts in its background ignores interrupts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            rendered(
                "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
            )
    finally:
        signal.signal(signal.SIGINT, before)
    assert rendered("{{ messages[0].content }}") == "Hi"


FORKS = """
import os, threading, time
from kzoo.text.chat import ChatTemplate

def check(name, times=200, source="{{ messages[0].content }}"):
    template = ChatTemplate({"default": source})
    for i in range(times):
        assert template.render([{"role": "user", "content": f"{name}{i}"}]) == f"{name}{i}"

check("a")
slow = "{% for a in range(60) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"
threading.Thread(target=check, args=("b", 9, slow + "{{ messages[0].content }}")).start()
time.sleep(0.2)
child = os.fork()
check("c" if child else "d")
assert not child or os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no forks")
def test_a_fork_and_its_parent_get_their_own_prompts(tmp_path):
    path = tmp_path / "forks" / "forks.py"
    path.parent.mkdir()
    path.write_text(FORKS)
    (tmp_path / "json.py").write_text("raise ImportError('of the folder where it was started')")
    subprocess.run([sys.executable, path], cwd=tmp_path, check=True, timeout=60)


@pytest.mark.parametrize("program", [None, "", "no/program", "/usr/bin/true"])
def test_without_a_python_to_run_templates_in_there_is_one_sentence(program):
    script = (
        f"import sys; from kzoo.text.chat import ChatTemplate; sys.executable = {program!r}\n"
        "try: ChatTemplate({'default': 'x'}).render([{'role': 'user'}])\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout.startswith("KzooError Got ")
    assert result.stdout.endswith(".\n")
    assert result.stderr == ""


DEEP, ENDLESS = [], []
for _ in range(5000):
    DEEP = [DEEP]
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    "messages, settings",
    [
        ("Hello", {}),
        ([], {}),
        ([{"content": "Hi"}], {}),
        ([["user", "Hi"]], {}),
        ([{"role": "user", "content": np.zeros(2)}], {}),
        (DEEP, {}),
        ([{"role": "user", "content": DEEP}], {}),
        ([{"role": "user", "content": ENDLESS}], {}),
        (CHAT, {"tools": DEEP}),
        (CHAT, {"variables": {"number": 10**5000}}),
        (CHAT, {"name": "other"}),
        (CHAT, {"continue_final_message": True}),
        ([{"role": "user"}], {"continue_final_message": True, "add_generation_prompt": False}),
    ],
)
def test_other_messages_are_one_sentence(messages, settings):
    with pytest.raises(KzooError, match="expected"):
        ChatTemplate({"default": TEMPLATES["chatml"]}).render(messages, **settings)


def test_a_last_message_that_the_template_changes_is_not_continued():
    template = ChatTemplate({"default": "{{ messages[0].content | upper }}"})
    settings = {"add_generation_prompt": False, "continue_final_message": True}
    assert template.render([{"role": "user", "content": "HI "}], **settings) == "HI "
    with pytest.raises(KzooError, match="leaves out the last message"):
        template.render([{"role": "user", "content": "Hi"}], **settings)


def test_a_folder_without_a_template_has_none_and_a_wrong_one_is_refused(tmp_path):
    assert ChatTemplate.load(tmp_path) is None
    path = tmp_path / "tokenizer_config.json"
    path.write_text('{"chat_template": null}')
    assert ChatTemplate.load(tmp_path) is None
    for wrong in ("5", '[{"name": 1}]', '["x"]', '[{"name": "default", "template": null}]'):
        path.write_text(f'{{"chat_template": {wrong}}}')
        with pytest.raises(KzooError, match="expected"):
            ChatTemplate.load(tmp_path)
