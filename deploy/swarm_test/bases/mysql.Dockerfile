# Stands in for Docker's official mysql image: the real MySQL 9.7 of Debian sid.
FROM clinic-test/sid
RUN groupadd --system --gid 999 mysql && useradd --system --uid 999 --gid mysql --no-create-home mysql \
    && apt-get update -q && apt-get install -q -y --no-install-recommends \
        mysql-server-core mysql-client-core tzdata openssl gzip \
    && rm -rf /var/lib/apt/lists/* /var/lib/mysql /etc/mysql \
    && mkdir -p /etc/mysql/conf.d /var/lib/mysql /var/run/mysqld /var/lib/mysql-files /docker-entrypoint-initdb.d \
    && chown mysql:mysql /var/lib/mysql /var/run/mysqld /var/lib/mysql-files \
    && chmod 1777 /var/run/mysqld && chmod 750 /var/lib/mysql-files
COPY my.cnf /etc/my.cnf
VOLUME /var/lib/mysql
COPY mysql-entrypoint /usr/local/bin/docker-entrypoint.sh
RUN ln -s /usr/local/bin/docker-entrypoint.sh /entrypoint.sh
ENTRYPOINT ["docker-entrypoint.sh"]
EXPOSE 3306
CMD ["mysqld"]
