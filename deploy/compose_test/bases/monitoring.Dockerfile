# Stand in for the official images of Prometheus and Alertmanager: Debian 13's, under their paths.
FROM clinic-test/trixie AS packages
RUN apt-get update -q && apt-get install -q -y --no-install-recommends prometheus prometheus-alertmanager \
    && rm -rf /var/lib/apt/lists/* \
    && ln -s /usr/bin/prometheus /usr/bin/prometheus-alertmanager /usr/local/bin/ \
    && mkdir -p /prometheus && chown 65534:65534 /prometheus

FROM packages AS prometheus
VOLUME /prometheus
WORKDIR /prometheus
USER 65534:65534
ENTRYPOINT ["/usr/bin/prometheus"]

FROM packages AS alertmanager
USER 65534:65534
ENTRYPOINT ["/usr/bin/prometheus-alertmanager"]
