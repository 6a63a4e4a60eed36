# Compose 2 of Debian 13, for machines whose own Compose is version 1.
FROM clinic-test/trixie
RUN apt-get update -q && apt-get install -q -y --no-install-recommends docker-compose \
    && rm -rf /var/lib/apt/lists/* \
    && found="$(find /usr/bin /usr/libexec/docker -name docker-compose -type f | head -n 1)" \
    && cp "$found" /compose
