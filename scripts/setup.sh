# Sourced by the other scripts: `setup run` or `setup dev` makes .venv from the lock and installs the Debian packages wanted.
# Nothing is downloaded when the lock, the project file and the packages are unchanged.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV="${TOCSIN_VENV:-$ROOT/.venv}"
say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }

find_python() {
  local name
  for name in "${PYTHON:-}" python3.14 python3.13 python3.12 python3.11 python3; do
    [ -n "$name" ] && command -v "$name" >/dev/null 2>&1 || continue
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then command -v "$name"; return; fi
  done
  say "Python 3.11 or newer is needed and was not found (Debian 12: apt-get install python3 python3-pip)"; exit 4
}

# Where python3-venv is missing there is no ensurepip; the system's pip then installs into the environment from outside.
make_venv() {
  local python=$1
  [ -x "$VENV/bin/python" ] && return
  say "making the Python environment in $VENV"
  if "$python" -c 'import ensurepip' 2>/dev/null; then "$python" -m venv "$VENV"
  else "$python" -m venv --without-pip "$VENV"; fi
}

pip_install() {
  local python=$1; shift
  if "$VENV/bin/python" -c 'import pip' 2>/dev/null; then "$VENV/bin/python" -m pip install --disable-pip-version-check "$@" >&2
  elif "$python" -c 'import pip' 2>/dev/null; then "$python" -m pip --python "$VENV/bin/python" install --disable-pip-version-check "$@" >&2
  else say "pip was not found (Debian 12: apt-get install python3-pip)"; exit 4; fi
}

install_python() {
  local kind=$1 python stamp
  python=$(find_python)
  make_venv "$python"
  stamp="$VENV/.tocsin-$kind"
  if [ "$(cat "$stamp" 2>/dev/null)" != "$(cat "$ROOT/requirements/$kind.lock" "$ROOT/pyproject.toml" | sha256sum)" ]; then
    say "installing the locked Python packages ($kind)"
    pip_install "$python" --require-hashes --only-binary :all: -r "$ROOT/requirements/$kind.lock"
    pip_install "$python" --quiet --no-deps --no-build-isolation --editable "$ROOT"
    cat "$ROOT/requirements/$kind.lock" "$ROOT/pyproject.toml" | sha256sum >"$stamp"
  fi
}

# debian PACKAGE:PROGRAM:WHAT-IS-MISSING-WITHOUT ...
install_debian() {
  local item package program without absent=() sudo=""
  export PATH="$PATH:/usr/sbin:/usr/local/sbin"
  for item in "$@"; do
    IFS=: read -r package program without <<<"$item"
    command -v "$program" >/dev/null 2>&1 || [ -e "$program" ] || absent+=("$package")
  done
  [ ${#absent[@]} -eq 0 ] && return
  if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then sudo="sudo"; fi
  fi
  if command -v apt-get >/dev/null 2>&1 && { [ "$(id -u)" = 0 ] || [ -n "$sudo" ]; }; then
    say "installing Debian packages: ${absent[*]}"
    local policy=/usr/sbin/policy-rc.d made=""
    # The packages' own services must not start: everything here runs its own, on free ports of 127.0.0.1.
    if [ ! -e $policy ]; then printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null; $sudo chmod +x $policy; made=1; fi
    $sudo apt-get update -qq >&2 || say "apt-get update failed; trying with the lists that are there"
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${absent[@]}" >&2 || say "apt-get install failed"
    [ -z "$made" ] || $sudo rm -f $policy
  fi
  for item in "$@"; do
    IFS=: read -r package program without <<<"$item"
    command -v "$program" >/dev/null 2>&1 || [ -e "$program" ] || say "going without $package: $without (apt-get install $package)"
  done
}

setup() {
  case $1 in
    run)
      install_debian \
        "mosquitto:mosquitto:the broker will be amqtt, slower but complete" \
        "libgl1:/usr/lib/$(uname -m)-linux-gnu/libGL.so.1:cameras fail" \
        "libglib2.0-0:/usr/lib/$(uname -m)-linux-gnu/libgthread-2.0.so.0:cameras fail" \
        "libxcb1:/usr/lib/$(uname -m)-linux-gnu/libxcb.so.1:cameras fail"
      ;;
    dev)
      install_debian \
        "mosquitto:mosquitto:broker tests fail" \
        "influxdb:influxd:InfluxDB 1.x tests fail" \
        "victoria-metrics:victoria-metrics:InfluxDB v2 write tests fail" \
        "nats-server:nats-server:JetStream tests fail" \
        "postgresql:/usr/lib/postgresql:tests against a real PostgreSQL are skipped" \
        "chromium:chromium:console tests fail" \
        "libatomic1:/usr/lib/$(uname -m)-linux-gnu/libatomic.so.1:console tests fail" \
        "fonts-noto-cjk:/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc:Chinese text is not readable in screenshots" \
        "iproute2:ip:the test without a network fails" \
        "gpsd:gpsd:tests against a real gpsd fail" \
        "dbus:dbus-daemon:Bluetooth tests fail" \
        "gcc:cc:tests of the lock's C core fail" \
        "libc6-dev:/usr/include/stdio.h:tests of the lock's C core fail" \
        "libsodium-dev:/usr/include/sodium.h:tests of the lock's C core fail" \
        "libgl1:/usr/lib/$(uname -m)-linux-gnu/libGL.so.1:cameras fail" \
        "libglib2.0-0:/usr/lib/$(uname -m)-linux-gnu/libgthread-2.0.so.0:cameras fail" \
        "libxcb1:/usr/lib/$(uname -m)-linux-gnu/libxcb.so.1:cameras fail"
      ;;
  esac
  install_python "$1"
  export PATH="$VENV/bin:$PATH"
}
