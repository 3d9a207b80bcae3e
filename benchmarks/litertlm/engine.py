"""LiteRT-LM's engine on a `.litertlm` file, one thread; needs litert-lm-api and nothing else.

    python benchmarks/litertlm/engine.py FILE < lines

Each line is {"prompt", "count"} in JSON: a text, and how many tokens to write behind it at most.
Each answer is one too: the `text`, and the `seconds` and `processor` seconds that it took.
"""

import json
import sys
import time
from importlib.metadata import version

import litert_lm


def main():
    litert_lm.set_min_log_severity(litert_lm.LogSeverity.ERROR)
    processor = litert_lm.Backend.CPU(thread_count=1)
    with litert_lm.Engine(sys.argv[1], backend=processor, cache_dir=":nocache") as engine:
        print(json.dumps({"litert-lm-api": version("litert-lm-api")}), flush=True)
        for line in sys.stdin:
            print(json.dumps(written(engine, **json.loads(line))), flush=True)


def written(engine, prompt, count):
    clock, processor = time.perf_counter(), time.process_time()
    with engine.create_session(max_output_tokens=count) as session:
        session.run_prefill([prompt])
        (text,) = session.run_decode().texts
    seconds = time.perf_counter() - clock
    return {"text": text, "seconds": seconds, "processor": time.process_time() - processor}


if __name__ == "__main__":
    main()
