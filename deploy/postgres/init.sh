#!/bin/bash
# Makes what Fanfare needs in a new PostgreSQL: its database, its user, and one that watches. The image runs it
# once, as the superuser, on an empty volume; DATABASE_PASSWORD and MONITOR_PASSWORD are in its environment.
set -euo pipefail

# \getenv keeps passwords out of every command line.
psql --set=ON_ERROR_STOP=1 --no-psqlrc --quiet --username="${POSTGRES_USER:-postgres}" --dbname=postgres <<'SQL'
\getenv database_password DATABASE_PASSWORD
\getenv monitor_password MONITOR_PASSWORD

-- It owns its database and is nothing beyond it.
CREATE ROLE fanfare LOGIN PASSWORD :'database_password';
CREATE DATABASE fanfare OWNER fanfare;

-- Sees statistics of all, and no data.
CREATE ROLE monitor LOGIN PASSWORD :'monitor_password' CONNECTION LIMIT 5;
GRANT pg_monitor TO monitor;

REVOKE ALL ON DATABASE fanfare FROM PUBLIC;
GRANT CONNECT ON DATABASE fanfare TO monitor;
\connect fanfare
CREATE EXTENSION pg_stat_statements;
SQL
