# Stands in for Docker's official nginx image: NGINX 1.30 of Debian sid, its user and its folders.
FROM clinic-test/sid
RUN groupadd --system --gid 101 nginx && useradd --system --uid 101 --gid nginx --no-create-home nginx \
    && apt-get update -q && apt-get install -q -y --no-install-recommends nginx gettext-base curl \
    && rm -rf /var/lib/apt/lists/* /etc/nginx/sites-* /etc/nginx/modules-* /etc/nginx/snippets \
    && mkdir -p /var/cache/nginx /etc/nginx/conf.d /etc/nginx/templates /docker-entrypoint.d \
    && chown nginx:nginx /var/cache/nginx \
    && ln -sf /dev/stdout /var/log/nginx/access.log && ln -sf /dev/stderr /var/log/nginx/error.log
COPY nginx-entrypoint /docker-entrypoint.sh
ENTRYPOINT ["/docker-entrypoint.sh"]
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
