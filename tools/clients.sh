#!/bin/bash
# Installs the packages that the client tests need, with pinned versions, into target/clients; also promtool,
# exporters for Prometheus, PgBouncer, Odyssey, pgaudit, Dovecot, Cyrus SASL, Prosody and ejabberd. It is quick if they are there.
# Called by make, which sets PG and PG_CONFIG.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly clients=$PWD/pgrx-tests/clients target=$PWD/target/clients

# Prosody and ejabberd as they run here: what else their packages ask for is either on each system with PostgreSQL, or
# not needed for a login.
readonly prosody=(prosody lua5.4 lua-expat lua-filesystem lua-sec lua-socket libexpat1)
readonly ejabberd=(
    ejabberd erlang-asn1 erlang-base erlang-base64url erlang-crypto erlang-idna erlang-inets erlang-jiffy erlang-jose
    erlang-mnesia erlang-os-mon erlang-p1-{acme,cache-tab,eimp,mqtree,pgsql,pkix,stringprep,stun,tls,utils,xml,xmpp,yaml,yconf,zlib}
    erlang-public-key erlang-ssl erlang-syntax-tools erlang-unicode-util-compat erlang-xmerl libexpat1 libyaml-0-2
)
# The first release of Debian with Odyssey is 14, so its libraries come with it.
readonly odyssey=(odyssey libaudit1 libc6 libcap-ng0 libcap2 libpam0g libssl3t64 libsystemd0 libzstd1 zlib1g)

main() {
    # Check for programs and files, not for packages, because node and Java have many sources.
    local missing=()
    python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
    command -v node >/dev/null || missing+=(nodejs)
    command -v npm >/dev/null || missing+=(npm)
    command -v javac >/dev/null || missing+=(default-jdk-headless)
    [ -f /usr/share/java/postgresql.jar ] || missing+=(libpostgresql-jdbc-java)
    command -v chromium >/dev/null || missing+=(chromium)
    [ -x /usr/sbin/pgbouncer ] || missing+=(pgbouncer)
    command -v doveadm >/dev/null || missing+=(dovecot-core)
    command -v psql >/dev/null || missing+=(postgresql-client)
    # A server that tools/postgres.sh fetched has it already, unless there is none for it.
    [ "$PG_CONFIG" != "/usr/lib/postgresql/$PG/bin/pg_config" ] ||
        [ -f "$("$PG_CONFIG" --pkglibdir)/pgaudit.so" ] || missing+=("postgresql-$PG-pgaudit")
    [ ${#missing[@]} -eq 0 ] || tools/packages.sh "${missing[@]}"
    mkdir -p "$target"
    made python "$clients/requirements.txt" || python
    made node "$clients/package.json" || node
    made jdbc "$clients/JdbcLogin.java" || jdbc
    made kafka "$clients/KafkaCredential.java" || kafka
    tools/unpack.sh prometheus promtool "$target/promtool"
    tools/unpack.sh prometheus-postgres-exporter prometheus-postgres-exporter "$target/exporters"
    tools/unpack.sh prometheus-sql-exporter prometheus-sql-exporter "$target/exporters"
    tools/unpack.sh --whole "$target/cyrus" sasl2-bin libsasl2-modules libsasl2-modules-sql libmariadb3
    tools/unpack.sh --whole "$target/prosody" "${prosody[@]}"
    tools/unpack.sh --whole "$target/ejabberd" "${ejabberd[@]}"
    [ "$(cat "$target/odyssey/complete" 2>/dev/null)" = "${odyssey[*]}" ] || odyssey
}

# made NAME FILE: whether NAME was made from this very FILE.
made() {
    cmp -s "$2" "$target/$1.made"
}

python() {
    echo "Installing psycopg, asyncpg, pg8000, pymongo, scramp and prometheus_client"
    rm -rf "$target/python"
    python3 -m venv "$target/python"
    "$target/python/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: -r "$clients/requirements.txt" </dev/null
    cp "$clients/requirements.txt" "$target/python.made"
}

node() {
    echo "Installing node-pg and the driver of MongoDB"
    rm -rf "$target/node"
    mkdir "$target/node"
    cp "$clients/package.json" "$target/node"
    # No package needs a script of its own, and make may run as root.
    npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$target/node" </dev/null
    cp "$clients/package.json" "$target/node.made"
}

jdbc() {
    rm -rf "$target/jdbc"
    javac -d "$target/jdbc" "$clients/JdbcLogin.java"
    cp "$clients/JdbcLogin.java" "$target/jdbc.made"
}

# Kafka's own classes: this package has them in a jar.
kafka() {
    echo "Installing Kafka's classes"
    rm -rf "$target/kafka"
    "$target/python/bin/pip" install --quiet --disable-pip-version-check --no-deps --target "$target/kafka" \
        atoti_server_kafka==0.9.16 </dev/null
    javac -cp "$(echo "$target"/kafka/*/__resources__/plugin.jar)" -d "$target/kafka" "$clients/KafkaCredential.java"
    cp "$clients/KafkaCredential.java" "$target/kafka.made"
}

odyssey() {
    echo "Unpacking odyssey"
    rm -rf "$target/odyssey"
    tools/suite.sh forky "$target/odyssey" download "${odyssey[@]}"
    rm -r "$target/odyssey/apt"
    echo "${odyssey[*]}" >"$target/odyssey/complete"
}

main
