# Runs a script on a disk of 12 MiB: `unshare -rm bash fill-disk.sh NODE SCRIPT FOLDER`. The disk goes with the namespace.
set -e
mount -t tmpfs -o size=12m tmpfs "$3"
exec "$1" "$2" "$3"
