#!/usr/bin/env bash
# check_r8.sh BUNDLE: lets R8 shrink and optimize the core under the desktop command, and holds what
# is left against the whole: golden examples, and every tokenizer of the fixtures on their own lines.
# Run it after `make android`.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
whole=$root/desktop/target/kzoo-desktop.jar
out=$root/target/r8
[ -f "$whole" ] || { echo "error: $whole is not there: run make android first" >&2; exit 2; }
[ -f "${1:-}/kzoo.json" ] || { echo "error: check_r8.sh takes the folder of one bundle" >&2; exit 2; }
rm -rf "$out"
mkdir -p "$out"
{ cat "$root/app/proguard-rules.pro"
  echo '-keep class kzoo.desktop.Main { public static void main(java.lang.String[]); }'
  echo '-keep class org.bytedeco.** { *; }' # Native code calls it by name, as it does TensorFlow Lite's.
  echo '-dontwarn **' # What JavaCPP can use of other libraries.
} > "$out/rules.pro"
"$root/tools/r8.sh" --classfile --pg-conf "$out/rules.pro" --output "$out/small.jar" "$whole" 2> "$out/r8.log" \
  || { cat "$out/r8.log" >&2; exit 1; }
classes() { unzip -l "$1" | grep -c ' kzoo/.*\.class$'; }
printf '%s classes of kzoo, %s after R8\n' "$(classes "$whole")" "$(classes "$out/small.jar")"
small() { java -XX:TieredStopAtLevel=1 -cp "$out/small.jar" kzoo.desktop.Main "$@"; }
small verify "$1"
count=0
for lines in "$root"/core/src/test/resources/kzoo/core/tokenizer/*.cases.jsonl; do
  tokenizer=${lines%.cases.jsonl}.json
  cmp <(small encode "$tokenizer" < "$lines") \
    <(java -XX:TieredStopAtLevel=1 -jar "$whole" encode "$tokenizer" < "$lines")
  count=$((count + 1))
done
echo "$count tokenizers give the same ids, tokens and offsets"
