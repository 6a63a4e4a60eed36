# Stands in for Docker's official python image: Python 3.13 of Debian 13 under the same paths.
FROM clinic-test/trixie
RUN apt-get update -q && apt-get install -q -y --no-install-recommends \
        python3 python3-venv python3-pip python3-dev tzdata media-types netbase \
    && rm -rf /var/lib/apt/lists/* /usr/lib/python3*/EXTERNALLY-MANAGED \
    && for name in python python3 python3.13; do ln -s /usr/bin/python3.13 "/usr/local/bin/$name"; done \
    && ln -s /usr/bin/pip3 /usr/local/bin/pip
ENV LANG=C.UTF-8
CMD ["python3"]
