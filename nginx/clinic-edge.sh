#!/bin/sh
# Before NGINX starts: checks what it was given and writes the few lines that differ from site to
# site. The root is read-only; /run/edge is memory. Every refusal says what to do.
set -eu

folder="${EDGE_FOLDER:-/run/edge}"
certificate="${TLS_CERTIFICATE_FILE:-/run/secrets/tls_certificate}"
key="${TLS_KEY_FILE:-/run/secrets/tls_key}"

refuse() {
  echo "Clinic's edge cannot start: $*" >&2
  exit 1
}

number() {
  eval "value=\${$1:-$2}"
  case "$value" in
    '' | *[!0-9]* | 0) refuse "$1 is '$value'. Set it to a whole number from 1." ;;
  esac
  echo "$value"
}

# A value for a double-quoted word of NGINX's configuration.
word() {
  eval "value=\${$1:-$2}"
  case "$value" in
    *[\"\\\$\;\{\}]* | *'
'*) refuse "$1 must not contain quotes, \$, ;, {, }, backslashes or new lines." ;;
  esac
  echo "$value"
}

names="${SERVER_NAMES:-}"
[ -n "$names" ] || refuse "SERVER_NAMES is not set. Set it to the names people type, separated by \
spaces, such as 'clinic.example.org www.clinic.example.org'."
for name in $names; do
  case "$name" in
    *[!A-Za-z0-9.-]* | -* | .*) refuse "SERVER_NAMES holds '$name'. Write plain names such as clinic.example.org." ;;
  esac
done

for file in "$certificate" "$key"; do
  [ -r "$file" ] || refuse "$file is missing or not readable for uid $(id -u). Give the certificate \
with its chain as tls_certificate and its key as tls_key (deploy/stack secrets)."
done

port="$(number HTTPS_PORT 443)"
pages="$(number LIMIT_PAGES 100)"
sign_in="$(number LIMIT_SIGN_IN 5)"
booking="$(number LIMIT_BOOKING 20)"
clinic_name="$(word CLINIC_NAME "Harbour Health")"
emergency_number="$(word EMERGENCY_NUMBER 911)"
if [ "$port" = 443 ]; then public_port=""; else public_port=":$port"; fi
connections="$(number LIMIT_CONNECTIONS 1000)"
files="$(number LIMIT_FILES 18)" # of 11 MB each; one network may have half of them

mkdir -p "$folder/tls" "$folder/acme/.well-known/acme-challenge"
ln -sf "$certificate" "$folder/tls/certificate.pem"
ln -sf "$key" "$folder/tls/key.pem"

echo "server_name $names;" >"$folder/names.conf"
cat >"$folder/connections.conf" <<CONF
limit_conn connections $connections;
limit_conn files $files;
limit_conn files_of $(((files + 1) / 2));
limit_conn forms 100;
CONF
cat >"$folder/site.conf" <<CONF
map "" \$public_port { default "$public_port"; }
map "" \$clinic_name { default "$clinic_name"; }
map "" \$emergency_number { default "$emergency_number"; }
limit_req_zone \$page_key zone=pages:10m rate=${pages}r/s;
limit_req_zone \$sign_in_key zone=sign_in:10m rate=${sign_in}r/s;
limit_req_zone \$booking_key zone=booking:10m rate=${booking}r/s;
limit_conn_zone \$client_network zone=connections:10m;
CONF

if ! said="$(nginx -t ${NGINX_OPTIONS:-} 2>&1)"; then
  case "$said" in
    *'key values mismatch'*) refuse "the key in $key does not belong to the certificate in $certificate. \
Give both anew as a pair (deploy/stack secrets)." ;;
    *PEM*) refuse "$certificate or $key is not a PEM file. Give the certificate with its chain, and its key, in PEM." ;;
    *) refuse "NGINX does not accept its configuration. $said" ;;
  esac
fi
