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
property() { sed -n "s:.*<$1>\(.*\)</$1>.*:\1:p" "$root/pom.xml" "$root/desktop/pom.xml"; }
repository=${M2:-$HOME/.m2/repository}
engine=$(echo "$repository"/org/bytedeco/tensorflow-lite/"$(property tensorflow-lite.version)"/*.jar \
  "$repository"/org/bytedeco/javacpp/"$(property javacpp.version)"/*.jar | tr ' ' :)
libraries=()
for jar in ${engine//:/ }; do libraries+=(--lib "$jar"); done
kotlin=$(property kotlin.version)
{ cat "$root/app/proguard-rules.pro"
  echo '-keep class kzoo.desktop.Main { public static void main(java.lang.String[]); }'
  echo '-dontwarn **' # What JavaCPP can use of other libraries.
} > "$out/rules.pro"
"$root/tools/r8.sh" --classfile --pg-conf "$out/rules.pro" --output "$out/small.jar" "${libraries[@]}" \
  "$root/desktop/target/desktop-1.jar" "$root/core/target/core-1.jar" \
  "$repository/org/jetbrains/kotlin/kotlin-stdlib/$kotlin/kotlin-stdlib-$kotlin.jar" 2> "$out/r8.log" \
  || { cat "$out/r8.log" >&2; exit 1; }
classes() { unzip -l "$1" | grep -c ' kzoo/.*\.class$'; }
printf '%s classes of kzoo, %s after R8\n' "$(classes "$whole")" "$(classes "$out/small.jar")"
small() { java -XX:TieredStopAtLevel=1 -cp "$out/small.jar:$engine" kzoo.desktop.Main "$@"; }
small verify "$1"
count=0
for lines in "$root"/core/src/test/resources/kzoo/core/tokenizer/*.cases.jsonl; do
  tokenizer=${lines%.cases.jsonl}.json
  cmp <(small encode "$tokenizer" < "$lines") \
    <(java -XX:TieredStopAtLevel=1 -jar "$whole" encode "$tokenizer" < "$lines")
  count=$((count + 1))
done
echo "$count tokenizers give the same ids, tokens and offsets"
