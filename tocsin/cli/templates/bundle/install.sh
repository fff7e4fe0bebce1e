#!/bin/sh
# Installs the Tocsin gateway from this folder alone: no network, no package index.
#   install.sh [--prefix /opt/tocsin] [--etc /etc/tocsin] [--data /var/lib/tocsin/edge] [--no-service]
set -eu
arch=@ARCH@ python=@PYTHON@ version=@VERSION@
prefix=/opt/tocsin etc=/etc/tocsin data=/var/lib/tocsin/edge service=yes
while [ $# -gt 0 ]; do
  case $1 in
    --prefix) prefix=$2; shift ;;
    --etc) etc=$2; shift ;;
    --data) data=$2; shift ;;
    --no-service) service=no ;;
    *) echo "install.sh: $1 is not known; see the first lines of this file" >&2; exit 2 ;;
  esac
  shift
done
here=$(cd "$(dirname "$0")" && pwd)
say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 4; }

[ "$(uname -m)" = "$arch" ] || fail "this bundle is for $arch, this machine is $(uname -m): tocsin bundle --arch $(uname -m)"
for name in "python$python" python3; do
  found=$(command -v "$name" || true)
  [ -n "$found" ] && "$found" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$python')" && break
  found=""
done
[ -n "$found" ] || fail "Python $python was not found: tocsin bundle --python VERSION makes one for another"
(cd "$here" && sha256sum --quiet --check SHA256SUMS) || fail "a file of the bundle is damaged; copy it again"
if [ -e "$prefix" ] && [ ! -e "$prefix/tocsin-bundle" ]; then fail "$prefix is there and was not made by a bundle: --prefix"; fi

say "installing tocsin $version into $prefix"
mkdir -p "$prefix" "$etc" "$data"
echo "$version" >"$prefix/tocsin-bundle"
"$found" -m venv --without-pip --clear "$prefix/venv"
pip=$(echo "$here"/wheels/pip-*.whl)
PIP_CONFIG_FILE=/dev/null "$prefix/venv/bin/python" "$pip/pip" install --quiet --disable-pip-version-check --no-cache-dir \
  --no-index --find-links "$here/wheels" --no-deps --require-hashes -r "$here/requirements.txt"
mkdir -p "$prefix/bin"
ln -sfn ../venv/bin/tocsin "$prefix/bin/tocsin"
cp "$here/uninstall.sh" "$prefix/uninstall.sh"

if [ -e "$etc/gateway.toml" ]; then say "$etc/gateway.toml is there and stays as it is"
elif [ -e "$here/gateway.toml" ]; then cp "$here/gateway.toml" "$etc/gateway.toml"; chmod 640 "$etc/gateway.toml"
fi
sed -e "s|^ExecStart=.*|ExecStart=$prefix/bin/tocsin edge run -c $etc/gateway.toml|" "$here/tocsin-edge.service" >"$prefix/tocsin-edge.service"
case $data in /var/lib/tocsin/*) ;; *) sed -i "s|^ExecStart=.*|&\nReadWritePaths=$data|" "$prefix/tocsin-edge.service" ;; esac

if [ "$service" = yes ] && [ "$(id -u)" = 0 ] && command -v systemctl >/dev/null; then
  id tocsin >/dev/null 2>&1 || useradd --system --home-dir /var/lib/tocsin --shell /usr/sbin/nologin --groups dialout tocsin
  chown -R tocsin: "$data"
  [ ! -e "$etc/gateway.toml" ] || chgrp tocsin "$etc/gateway.toml"
  cp "$prefix/tocsin-edge.service" /etc/systemd/system/tocsin-edge.service
  systemctl daemon-reload
  say "start it with: systemctl enable --now tocsin-edge"
fi
[ -e "$etc/gateway.toml" ] || say "write its configuration with: cd $etc && $prefix/bin/tocsin init"
[ ! -e "$etc/gateway.toml" ] || "$prefix/bin/tocsin" check -c "$etc/gateway.toml" >&2
