#!/bin/sh
# aapt2.sh FRAMEWORK APP OUT: resources.apk, R.java, keep.pro and AndroidManifest.xml in OUT, from the
# sources in APP; and test.apk, which holds the assets in OUT/assets too. FRAMEWORK is the jar or apk
# of an Android platform. keep.pro tells R8 which classes the manifest and the layouts name. What the
# Android Gradle plugin would add to the manifest is added here.
set -e
framework=$1 app=$2 out=$3
package=kzoo.app min=26 target=35
command -v aapt2 >/dev/null || { echo "error: aapt2 is not there: apt-get install aapt" >&2; exit 2; }
rm -rf "$out/res.zip" "$out/gen"
mkdir -p "$out/gen"
sed -e "s#<manifest #<manifest package=\"$package\" #" \
  -e "s#<application\$#<uses-sdk android:minSdkVersion=\"$min\" android:targetSdkVersion=\"$target\"/><application android:extractNativeLibs=\"false\"#" \
  "$app/src/main/AndroidManifest.xml" > "$out/AndroidManifest.xml"
aapt2 compile --dir "$app/src/main/res" -o "$out/res.zip"
# Debian's aapt2 is older than uses-native-library, which it would refuse.
link() {
  aapt2 link --warn-manifest-validation -I "$framework" --manifest "$out/AndroidManifest.xml" --version-code 1 \
    --version-name 1.0 --auto-add-overlay "$@" "$out/res.zip"
}
link -o "$out/resources.apk" --java "$out/gen" --proguard "$out/keep.pro"
[ ! -d "$out/assets" ] || link -o "$out/test.apk" -A "$out/assets"
