#!/bin/sh
# Pushes a sealed body with plain curl: push.sh QR_TEXT_FILE BODY_FILE
# --insecure leaves chain and name unchecked, as the protocol has it; the pin takes their place, and curl checks it before
# it sends its request. curl writes the pin in standard base64 with padding.
set -eu
member() { sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p" "$2"; }
address=$(member ipAddress "$1")
case $address in *:*) address="[$address]" ;; esac
port=$(member port "$1")
pin=$(member pin "$1" | tr -- '-_' '+/')=
exec curl --silent --show-error --insecure --pinnedpubkey "sha256//$pin" --noproxy '*' --max-time 30 \
    --header 'Content-Type: application/jose' --data-binary "@$2" \
    "https://$address:${port:-8443}/provisioning/configure"
