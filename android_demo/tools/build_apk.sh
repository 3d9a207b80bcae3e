#!/usr/bin/env bash
# build_apk.sh [BUNDLE...]: target/kzoo.apk with these bundles packed, signed with a debug key and
# verified; without any, an app that opens bundles from files. `make apk` builds what it needs and
# runs it.
# Needs Debian's aapt, zipalign, apksigner and zip, and Maven, which fetches R8.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
min=26 abis=${ABIS:-arm64-v8a}
out=$root/target/apk
repository=${M2:-$HOME/.m2/repository}
property() { sed -n "s:.*<$1>\(.*\)</$1>.*:\1:p" "$root/pom.xml" "$root/app/pom.xml"; }

for tool in aapt2 zipalign apksigner zip java mvn; do
  command -v $tool >/dev/null || { echo "error: $tool is not there: apt-get install aapt zipalign apksigner zip" >&2; exit 2; }
done
for jar in core/target/core-1.jar app/target/app-1.jar aars/tflite/target/aar-tflite-1.jar; do
  [ -f "$root/$jar" ] || { echo "error: $jar is not there: run make apk BUNDLE=..." >&2; exit 2; }
done
rm -rf "$out"
mkdir -p "$out/dex" "$out/content/assets/bundles"

# A bundle that is damaged, or needs a newer runtime than this APK holds, is not packed.
tflite=$(property tflite.version)
for bundle in "$@"; do
  java -jar "$root/desktop/target/kzoo-desktop.jar" verify "$bundle" --runtime "tflite-$tflite" > "$out/verify.log" || exit 2
  cp -r "$bundle" "$out/content/assets/bundles/$(basename "$bundle")"
done

kotlin=$(property kotlin.version)
android=$(property android.link)
"$root/tools/r8.sh" --min-api $min \
  --lib "$repository/org/robolectric/android-all/$android/android-all-$android.jar" \
  --pg-conf "$root/app/proguard-rules.pro" --pg-conf "$root/app/target/keep.pro" --output "$out/dex" \
  "$root/app/target/app-1.jar" "$root/core/target/core-1.jar" "$root/aars/tflite/target/aar-tflite-1.jar" \
  "$repository/org/jetbrains/kotlin/kotlin-stdlib/$kotlin/kotlin-stdlib-$kotlin.jar"

cp "$root/app/target/resources.apk" "$out/unaligned.apk"
(cd "$out/dex" && zip -q "$out/unaligned.apk" classes*.dex)
# The core's own tables, which lie in its jar as resources.
(cd "$out/content" && unzip -q -o "$root/core/target/core-1.jar" -x 'META-INF/*' '*.class' 2>/dev/null || [ $? = 11 ])
for abi in $abis; do
  mkdir -p "$out/content/lib/$abi"
  cp "$root"/aars/tflite/target/{lite,gpu}/jni/"$abi"/*.so "$out/content/lib/$abi/"
done
# Libraries and models are stored as they are, for they are mapped into memory.
(cd "$out/content" && zip -q -D -0 -r "$out/unaligned.apk" lib && zip -q -D -n .tflite:.so -r "$out/unaligned.apk" . -x 'lib/*')
zipalign -f -p 4 "$out/unaligned.apk" "$out/aligned.apk"
key=$root/target/debug.keystore
[ -f "$key" ] || keytool -genkeypair -keystore "$key" -storepass android -keypass android -alias androiddebugkey \
  -dname "CN=Android Debug,O=Android,C=US" -keyalg RSA -keysize 2048 -validity 10000 2>/dev/null
apksigner sign --ks "$key" --ks-pass pass:android --key-pass pass:android --min-sdk-version $min \
  --out "$root/target/kzoo.apk" "$out/aligned.apk"
rm -f "$root/target/kzoo.apk.idsig"
apksigner verify --min-sdk-version $min "$root/target/kzoo.apk"
zipalign -c -p 4 "$root/target/kzoo.apk"
badging=$(aapt2 dump badging "$root/target/kzoo.apk")
grep -E "^(package|sdkVersion|targetSdkVersion|native-code)" <<< "$badging"
printf 'classes.dex %s bytes\n' "$(stat -c %s "$out/dex/classes.dex")"
printf '%s %s bytes, signed and verified\n' "android_demo/target/kzoo.apk" "$(stat -c %s "$root/target/kzoo.apk")"
