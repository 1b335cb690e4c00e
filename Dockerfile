# The official image of PostgreSQL with scram_ext: docker build --build-arg PG_MAJOR=17 -t postgres-scram .
# With pg_cron too: add --target with-cron.
ARG PG_MAJOR=17

FROM rust:1.95-slim-bookworm AS rust

FROM postgres:${PG_MAJOR}-bookworm AS build
ARG PG_MAJOR
# Versions follow the image's own release.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates gcc libc6-dev libclang-dev "postgresql-server-dev-$PG_MAJOR" \
    && rm -rf /var/lib/apt/lists/*
COPY --from=rust /usr/local/cargo /usr/local/cargo
COPY --from=rust /usr/local/rustup /usr/local/rustup
# The toolchain of the image, whatever rust-toolchain.toml names.
ENV CARGO_HOME=/usr/local/cargo RUSTUP_HOME=/usr/local/rustup RUSTUP_TOOLCHAIN=1.95.0 \
    PATH=/usr/local/cargo/bin:$PATH
RUN cargo install cargo-pgrx --version =0.18.1 --locked --debug --no-default-features
WORKDIR /src
COPY . .
RUN tools/image.sh "$PG_MAJOR" /out

FROM postgres:${PG_MAJOR}-bookworm AS plain
COPY --from=build /out /

FROM plain AS with-cron
ARG PG_MAJOR
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends "postgresql-$PG_MAJOR-cron" \
    && rm -rf /var/lib/apt/lists/*

FROM plain
