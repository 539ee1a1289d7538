#!/bin/sh
# Makes the two roles at the first start of an empty server: one owns the tables and migrates, the
# other serves and is kept to one tenant's rows.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
  --set owner="$OWNER_PASSWORD" --set service="$DATABASE_PASSWORD" <<'SQL'
CREATE ROLE email_sender_owner LOGIN PASSWORD :'owner';
CREATE ROLE email_sender LOGIN PASSWORD :'service';
CREATE DATABASE email_sender OWNER email_sender_owner;
SQL
