#!/usr/bin/env bash
# Unpack what runs LiteRT on emulated ARM64 cores: qemu, an arm64 Python, and LiteRT's arm64 wheel.
#     benchmarks/arm64/setup.sh FOLDER [LITERT_VERSION]
# Nothing is installed into the system: Debian packages and wheels are fetched from where apt and pip
# of this machine fetch theirs and unpacked into FOLDER (0.7 GB, a minute). Needs Debian 12 on x86-64.
set -euo pipefail
root=$(realpath -m "${1:?FOLDER}")
version=${2:-2.3.0}
[ ! -e "$root/ready-$version" ] || exit 0
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
  grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' ') || true # One of both may be missing.
[ -n "$mirror" ] || { echo "error: apt has no Debian mirror: Debian 12 is expected." >&2; exit 2; }

unpack() { # NAME ARCHITECTURE SUITE TARGET PACKAGE...: with an apt state of its own
  local state="$root/apt-$1" target=$4
  local options=(-o APT::Architecture="$2" -o APT::Architectures="$2" -o APT::Sandbox::User=root
    -o Dir::State="$state" -o Dir::State::status="$state/status" -o Dir::State::lists="$state/lists"
    -o Dir::Cache="$state/cache" -o Dir::Etc::sourcelist="$state/sources" -o Dir::Etc::sourceparts=-)
  mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$state/packages" "$target"
  : > "$state/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $3 main" > "$state/sources"
  shift 4
  apt-get "${options[@]}" update -qq
  (cd "$state/packages" && apt-get "${options[@]}" download -qq "$@")
  for package in "$state"/packages/*.deb; do dpkg -x "$package" "$target"; done
}

# Debian 12's own qemu, 7.2, crashes in LiteRT's kernels.
unpack qemu amd64 bookworm-backports "$root/qemu" qemu-user-static qemu-user
unpack arm64 arm64 bookworm "$root/system" libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libssl3 libffi8 \
  libbz2-1.0 liblzma5 libsqlite3-0 libuuid1 libncursesw6 libtinfo6 libreadline8 libcrypt1 libdb5.3 \
  python3.11 python3.11-minimal libpython3.11-minimal libpython3.11-stdlib
mkdir -p "$root/wheels-$version" "$root/site-$version"
platforms=()
for name in manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014; do
  platforms+=(--platform "${name}_aarch64")
done
for package in "ai-edge-litert==$version" numpy; do
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: "${platforms[@]}" \
    --implementation cp --python-version 311 --abi cp311 --dest "$root/wheels-$version" "$package"
done
for wheel in "$root/wheels-$version"/*.whl; do python3 -m zipfile -e "$wheel" "$root/site-$version"; done
touch "$root/ready-$version"
