"""LiteRT-LM's engine on a `.litertlm` file, one thread; needs litert-lm-api and nothing else.

    python benchmarks/litertlm/engine.py FILE < lines
    python benchmarks/litertlm/engine.py FILE PROMPT COUNT

Each line is {"prompt", "count"} in JSON: a text, and how many tokens to write behind it at most.
Each answer is one too: the `text`, and the `seconds` and `processor` seconds that it took. With a
prompt in the arguments the engine is an arm that takes turns, see `kzoo.turns`.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import litert_lm

sys.path.insert(0, str(Path(__file__).parents[2]))
from kzoo.turns import serve, timed  # noqa: E402


def main():
    file, *one = sys.argv[1:]
    litert_lm.set_min_log_severity(litert_lm.LogSeverity.ERROR)
    processor = litert_lm.Backend.CPU(thread_count=1)
    with litert_lm.Engine(file, backend=processor, cache_dir=":nocache") as engine:
        if one:
            prompt, count = one
            serve(lambda: answer(engine, prompt, int(count)))
        else:
            print(json.dumps({"litert-lm-api": version("litert-lm-api")}), flush=True)
            for line in sys.stdin:
                print(json.dumps(answer(engine, **json.loads(line))), flush=True)


def answer(engine, prompt, count):
    text, seconds, processor = timed(lambda: written(engine, prompt, count))
    return {"text": text, "seconds": seconds, "processor": processor}


def written(engine, prompt, count):
    with engine.create_session(max_output_tokens=count) as session:
        session.run_prefill([prompt])
        return session.run_decode().texts[0]


if __name__ == "__main__":
    main()
