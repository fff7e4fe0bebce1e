#!/bin/sh
# Takes the gateway away and leaves what it has journalled and its configuration: uninstall.sh [--prefix /opt/tocsin]
set -eu
prefix=$(cd "$(dirname "$0")" && pwd)
if [ "${1:-}" = --prefix ]; then prefix=$2; fi
[ -e "$prefix/tocsin-bundle" ] || { echo "error: $prefix was not made by a bundle: --prefix" >&2; exit 2; }
unit=/etc/systemd/system/tocsin-edge.service
if [ "$(id -u)" = 0 ] && grep -qs "^ExecStart=$prefix/bin/tocsin " "$unit"; then
  systemctl disable --now tocsin-edge 2>/dev/null || true
  rm -f "$unit"
  systemctl daemon-reload 2>/dev/null || true
fi
rm -rf "$prefix/venv" "$prefix/bin"
rm -f "$prefix/tocsin-edge.service" "$prefix/tocsin-bundle" "$prefix/uninstall.sh"
rmdir "$prefix" 2>/dev/null || true
echo "removed; the journal (data_dir, as in gateway.toml), gateway.toml and the user tocsin are still there" >&2
