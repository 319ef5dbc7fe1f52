#!/usr/bin/env bash
# Puts the files of uPlot that the dashboard embeds into static/uplot, from the
# package of one exact version, whose checksum npm and this script verify. Run
# it again for another version; git shows what changed.
set -euo pipefail
cd "$(dirname "$0")"
version=1.6.32
sha512=KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent "uplot@$version" >/dev/null)
tgz=$work/uplot-$version.tgz
got=$(openssl dgst -sha512 -binary "$tgz" | base64 -w0)
[ "$got" = "$sha512" ] || { echo "uplot-$version.tgz has sha512 $got, want $sha512" >&2; exit 1; }
tar -xzf "$tgz" -C "$work"
mkdir -p static/uplot
cp "$work/package/dist/uPlot.iife.min.js" "$work/package/dist/uPlot.min.css" "$work/package/LICENSE" static/uplot/
echo "uPlot $version is in static/uplot"
