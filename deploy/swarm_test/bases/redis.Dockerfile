# Stands in for Docker's official redis image: Redis 8 of Debian 13.
FROM clinic-test/trixie
RUN groupadd --system --gid 999 redis && useradd --system --uid 999 --gid redis --no-create-home redis \
    && apt-get update -q && apt-get install -q -y --no-install-recommends redis-server redis-tools \
    && rm -rf /var/lib/apt/lists/* && mkdir -p /data && chown redis:redis /data
VOLUME /data
WORKDIR /data
COPY redis-entrypoint /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["redis-server"]
