# The lines above say which host this is: deployment, accelerator, interpreter, ttl_s, a group's bucket, and
# whether the group is balanced.
# Emulated hosts run this too, as an unprivileged user: they own their directory and nothing else.
set -eu

home=${AMAZONEI_HOME:-/opt/amazonei}
metadata=http://169.254.169.254/latest

emulated() { [ -n "${AMAZONEI_EMULATED:-}" ]; }
root() { [ "$(id -u)" -eq 0 ]; }
amazon_linux() { grep -q '^ID="\{0,1\}amzn' /etc/os-release 2>/dev/null; }

# Shutting down terminates this instance, also when the laptop that made it is closed.
arm_expiry() {
    systemd-run --unit=amazonei-expiry --on-active="${ttl_s}s" systemctl poweroff
}

create_user() {
    id amazonei >/dev/null 2>&1 ||
        useradd --system --home-dir "$home" --shell /usr/sbin/nologin amazonei
}

install_python() {
    [ -x "$interpreter" ] || command -v python3.11 >/dev/null 2>&1 || dnf -y -q install python3.11
}

instance_id() {
    if [ -n "${AMAZONEI_INSTANCE_ID:-}" ]; then
        printf '%s' "$AMAZONEI_INSTANCE_ID"
        return
    fi
    token=$(curl -fsS --noproxy '*' --retry 5 -X PUT \
        -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$metadata/api/token")
    curl -fsS --noproxy '*' --retry 5 -H "X-aws-ec2-metadata-token: $token" "$metadata/meta-data/instance-id"
}

json_string() { printf '"%s"' "$(printf '%s' "$1" | sed 's/[\\"]/\\&/g')"; }

write_facts() {
    identity=$(instance_id)
    python=$interpreter
    if emulated; then python=${AMAZONEI_PYTHON:-$interpreter}; fi
    printf '{%s"accelerator": %s, "deployment": %s, "instance_id": %s, "interpreter": %s}\n' \
        "${balanced:+\"balanced\": 1, }" "$(json_string "$accelerator")" "$(json_string "$deployment")" \
        "$(json_string "$identity")" "$(json_string "$python")" >"$home/host.json.new"
    mv "$home/host.json.new" "$home/host.json"
}

digest_of() { sed -n "s/.*\"$1\": *\"\([0-9a-f]\{64\}\)\".*/\1/p" "$2" 2>/dev/null || :; }

# The bucket says which host code and which request; a host that has no wish of that kind is no failure.
fetch_wish() {
    AWS_METADATA_SERVICE_NUM_ATTEMPTS=5 aws s3api get-object --bucket "$bucket" \
        --key "artifacts/serving/$accelerator/$1.json" "$home/$1.wish" >/dev/null 2>&1
}

# Do what the document would: fetch both by their digests, verify them and the artifact, install: unless another
# version than the second word is served by the time the host's lock is had. With a third word the host stays out
# of its load balancer's rotation.
serve_version() {
    bundle=$(digest_of bundle "$home/$1.wish")
    request=$(digest_of request "$home/$1.wish")
    [ -n "$bundle" ] && [ -n "$request" ] || return 0
    SSM_Bucket=$bucket SSM_Operation=install SSM_Bundle=$bundle SSM_Request=$request \
        AMAZONEI_ONLY_OVER=$2 AMAZONEI_OUTSIDE=${3:-} \
        sh "$home/bootstrap.sh" || echo "amazonei: the $1 version is not served; the next ship installs it"
}

# A host of a group may come when nobody is there to ship. The version from before comes first, so that this
# host can go back when the others do. A host that serves nothing is prepared all the same, and where somebody
# ships meanwhile, that is the newer version and stays. What a ship has switched by now is seen here, and nothing
# is fetched; one that is under way holds the host's lock, and only the host can tell, once it has that lock.
serve_what_others_serve() {
    fetch_wish current || return 0
    write_bootstrap >"$home/bootstrap.sh"
    if fetch_wish previous && [ ! -e "$home/current.json" ]; then serve_version previous '' outside; fi
    before=$(digest_of manifest "$home/previous.wish")
    case $(digest_of digest "$home/current.json") in
    '' | "$before") serve_version current "$before" ;;
    esac
    rm -f "$home/current.wish" "$home/previous.wish"
}

# The timer comes first: a host that fails to prepare must still go away.
emulated || arm_expiry
mkdir -p "$home"
if root && ! emulated; then create_user; fi
write_facts
if amazon_linux && ! emulated; then install_python; fi
if [ -n "$bucket" ]; then serve_what_others_serve; fi
