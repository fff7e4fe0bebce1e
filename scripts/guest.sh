# Sourced by scripts that run tests in a QEMU guest: no hardware, some minutes without KVM.
# The guest's kernel and modules are Debian's, its root is this machine's, read-only; nothing is installed into it.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

# guest MODULES [debian PACKAGE:PROGRAM:WHAT ...] <SCRIPT: runs the script (bash, as root) in a guest with the modules; fails unless the script's last command does well
guest() {
  local modules="$1" cache package tree release work number=100 module verb file name program
  shift
  setup dev
  install_debian \
    "qemu-system-x86:qemu-system-x86_64:there is no guest" \
    "busybox-static:busybox:there is no guest" \
    "kmod:depmod:there is no guest" "$@"
  cd "$ROOT"
  for program in qemu-system-x86_64 busybox depmod modprobe apt-get dpkg-deb; do
    command -v $program >/dev/null || { say "$program is not here: the guest was not run"; exit 4; }
  done
  [ "$(uname -m)" = x86_64 ] || { say "the guest is x86_64 only: not run"; exit 4; }
  cache="${XDG_CACHE_HOME:-$HOME/.cache}/tocsin/guest"
  mkdir -p "$cache"

  package=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
  if [ ! -e "$cache/$package/.complete" ]; then
    say "getting Debian's $package"
    rm -rf "${cache:?}/$package"
    mkdir -p "$cache/$package"
    (cd "$cache" && apt-get download -qq "$package" >&2)
    dpkg-deb -x "$cache/$package"_*.deb "$cache/$package"
    rm -f "$cache/$package"_*.deb
    touch "$cache/$package/.complete"
  fi
  tree="$cache/$package"
  release=$(ls "$tree/lib/modules")
  [ -e "$tree/lib/modules/$release/modules.dep" ] || depmod -b "$tree" "$release"

  work=$(mktemp -d)
  # shellcheck disable=SC2064 # the folder of now
  trap "rm -rf '$work'" EXIT
  mkdir -p "$work/root"/{bin,dev,proc,modules,host,upper,merged}
  cp "$(command -v busybox)" "$work/root/bin/busybox"
  for module in virtio_pci 9pnet_virtio 9p overlay $modules; do
    modprobe -d "$tree" -S "$release" --show-depends "$module" 2>/dev/null | while read -r verb file _; do
      [ "$verb" = insmod ] || continue
      name=$(basename "$file")
      ls "$work/root/modules" | grep -q -- "-$name\$" && continue
      cp "$file" "$work/root/modules/$(printf %03d $(($(ls "$work/root/modules" | wc -l) + number)))-$name"
    done
  done
  cat >"$work/root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod "$module" || echo "GUEST no $module"; done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=loose,ro host /host || echo "GUEST no root"
mount -t tmpfs -o size=512m tmp /upper
mkdir -p /upper/data /upper/work
mount -t overlay -o lowerdir=/host,upperdir=/upper/data,workdir=/upper/work overlay /merged
mount -t proc proc /merged/proc
mount -t devtmpfs dev /merged/dev
mount -t sysfs sys /merged/sys
mount -t tmpfs tmp /merged/run
ip link set lo up 2>/dev/null || ifconfig lo up
cp /run-guest /merged/run-guest
chroot /merged /bin/bash /run-guest
poweroff -f
INIT
  chmod +x "$work/root/init"
  {
    echo "export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PYTHONDONTWRITEBYTECODE=1 ROOT=$(printf %q "$ROOT") TREE=$(printf %q "$tree") VENV=$(printf %q "$VENV")"
    cat
    echo 'echo "GUEST ended with $?"'
  } >"$work/root/run-guest"
  (cd "$work/root" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$work/initramfs.gz"

  say "starting the guest ($release, $(du -h "$work/initramfs.gz" | cut -f1) initramfs)"
  timeout "${GUEST_LIMIT_S:-900}" qemu-system-x86_64 -machine "q35,accel=${GUEST_ACCEL:-tcg}" -cpu Nehalem -m 2048 -smp 2 -nographic -no-reboot \
    -kernel "$tree"/boot/vmlinuz-"$release" -initrd "$work/initramfs.gz" -append "console=ttyS0 panic=-1 quiet no_timer_check" \
    -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap </dev/null | tee "$work/console"
  grep -q "GUEST ended with 0" "$work/console"
}
