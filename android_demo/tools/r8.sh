#!/usr/bin/env bash
# r8.sh ARGUMENT...: R8 with these arguments and this JDK's classes; Maven fetches it where it is missing.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=8.13.25
jar=${M2:-$HOME/.m2/repository}/com/android/tools/r8/$version/r8-$version.jar
[ -f "$jar" ] || mvn -q -B -ntp -f "$root/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:get \
  -Dtransitive=false -Dartifact=com.android.tools:r8:$version >/dev/null
java -Xmx2g -XX:TieredStopAtLevel=1 -cp "$jar" com.android.tools.r8.R8 --release \
  --lib "$(dirname "$(dirname "$(readlink -f "$(command -v java)")")")" "$@"
