"""What every client that is installed makes of some bundles: `kzoo verify --clients`, kept.

    python benchmarks/clients/measure.py BUNDLE... [--texts FILE] [--client NAME...]

Each bundle's golden examples and the shipped lines of many languages (or the lines of FILE) go
through Python, the JVM, Chromium, MediaPipe and ARM64, as far as they are installed. Fails when a
client crashes, or one that has Python's tokenizer, which all but MediaPipe claim, gives other ids.
What the result holds already, bundles and clients of a bundle, stays in it, if the same versions
ran it. Times are by the clock: they mean something on a quiet machine only.
"""

import argparse
import json
import sys
from pathlib import Path

import kzoo
from kzoo.bundle import clients

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402

SOURCES = [
    "android_demo/core/src/main", "android_demo/desktop/src/main", "kzoo/answers.py", "kzoo/text",
    "web_demo/src",
]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--texts", type=Path)
    names = [client.name for client in clients.CLIENTS]
    parser.add_argument("--client", nargs="*", choices=names, default=names)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "result.json")
    arguments = parser.parse_args()
    result = {
        "provenance": provenance(SOURCES, ["kzoo", "ai-edge-litert", "tokenizers"]),
        "bundles": {},
    }
    if arguments.output.is_file():
        before = json.loads(arguments.output.read_text(encoding="utf-8"))
        same = (
            before["measured"][key] == result["measured"][key] for key in ("versions", "sha256")
        )
        if all(same):
            result["bundles"] = before["bundles"]
    wrong = []
    for folder in arguments.bundles:
        reads = kzoo.verify_bundle(folder)["reads"]
        lines = None
        if arguments.texts:
            lines = clients.read_texts(arguments.texts, pairs=reads == "pair")
        found = clients.compare(folder, lines, say=print, names=arguments.client)
        found["bundle"] = folder.name
        if before := result["bundles"].get(folder.name):
            rows = {row["client"]: row for each in (before, found) for row in each["clients"]}
            found = {**before, **found, "clients": list(rows.values())}
        result["bundles"][folder.name] = found
        print(json.dumps(found, indent=1), flush=True)
        own = {client.name for client in clients.CLIENTS if client.own_tokenizer}
        for row in found["clients"]:
            if "failed" in row:
                wrong.append(f"{folder.name} on {row['client']}: {row['failed']}")
            elif row["client"] not in own and row.get("other_ids"):
                wrong.append(f"{folder.name} on {row['client']}: other ids.")
        # Emulation takes long: what is measured is kept.
        text = json.dumps(result, indent=1) + "\n"
        arguments.output.write_text(text, encoding="utf-8")
    for each in wrong:
        print(each)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
