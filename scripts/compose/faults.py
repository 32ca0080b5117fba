"""Faults to plant: the file, a pattern and what its first match becomes, and what a rule has to say of it."""

COMPOSE = "deploy/compose.yaml"
WATCH = "deploy/compose/observability.yaml"
TLS = "deploy/compose/tls.yaml"
EXAMPLE = "deploy/compose/env.example"
PROMETHEUS = "deploy/prometheus/prometheus.yaml"
SERVERS = "deploy/prometheus/servers.yaml"
SOURCES = "deploy/grafana/provisioning/datasources/fanfare.yaml"
BOARDS = "deploy/grafana/provisioning/dashboards/fanfare.yaml"
TRACES = "deploy/collector/traces.yaml"
LOGS = "deploy/collector/logs.yaml"

MUTATIONS = [
    # what Compose itself refuses
    (COMPOSE, r"^  redis:$", "  redis:\n    imagee: x", "imagee"),
    (COMPOSE, r"networks: \[front, outside\]", "networks: [front, nowhere]", "nowhere"),
    (COMPOSE, r"migrate: \{condition: service_completed_successfully\}", "migrat: {condition: service_completed_successfully}", "migrat"),
    # rights
    (COMPOSE, r"^  read_only: true\n", "", "its root file system can be written"),
    (COMPOSE, r"^  cap_drop: \[ALL\]\n", "", "it does not drop all capabilities"),
    (COMPOSE, r"^  security_opt: .*\n", "", "it can gain rights"),
    (COMPOSE, r'user: "65532:65532"', 'user: "0:0"', "its user is `0:0`"),
    (COMPOSE, r"^    user: redis\n", "", "redis: its user is ``"),
    (COMPOSE, r"^    user: postgres\n", "    user: postgres\n    privileged: true\n", "postgres: it has `privileged`"),
    (WATCH, r"cap_add: \[DAC_READ_SEARCH\]", "cap_add: [SYS_ADMIN]", "logs: it has capabilities of its own"),
    (COMPOSE, r"redis:7\.4\.9-bookworm", "redis:latest", "redis: its image `redis:latest` is not pinned"),
    (WATCH, r"grafana/grafana:12\.4\.0", "grafana/grafana", "grafana: its image `grafana/grafana` is not pinned"),
    # care
    (COMPOSE, r"^  restart: unless-stopped\n", "", "its restart policy is `None`"),
    (COMPOSE, r'restart: "no"', "restart: always", "migrate: its restart policy is `always`"),
    (COMPOSE, r"^    user: redis\n", "    user: redis\n    container_name: redis\n", "redis: it has a fixed name"),
    (COMPOSE, r'test: \["CMD", "redis-cli", "-e", "ping"\]', "disable: true", "redis: it has no health check"),
    (COMPOSE, r'"healthcheck", "--ready"\]', '"healthcheck"]', "api: its health check does not ask whether it is ready"),
    (WATCH, r"^    x-without-healthcheck: \*alone\n", "", "collector: it has no health check"),
    (COMPOSE, r"memory: 256m, pids: 1024", "memory: 256m, pids: 64", "may not make its threads"),
    ("deploy/collector/logs.yaml", r"enabled: false", "enabled: true", "is lost while Loki is away"),
    ("deploy/collector/logs.yaml", r"\[memory_limiter\]", "[memory_limiter, batch]", "is lost while Loki is away"),
    (COMPOSE, r"memory: 512m, pids: 64", "pids: 64", "redis: it has no limit of memory"),
    (COMPOSE, r"^      max-size: 20m\n", "", "its logs are kept for ever"),
    (WATCH, r"^      labels: .*\n", "", "collector: its log lines do not tell whose they are"),
    (COMPOSE, r"^    stop_grace_period: 15s\n", "", "scheduler: nothing says how long"),
    (WATCH, r"GOMEMLIMIT: 400MiB", "GOMEMLIMIT: 600MiB", "collector: its GOMEMLIMIT"),
    # ports, mounts and settings
    (COMPOSE, r"^    networks: \[data\]\n", '    networks: [data]\n    ports: ["127.0.0.1:5432:5432"]\n', "postgres: it publishes port 5432"),
    (COMPOSE, r"LISTEN:-127\.0\.0\.1:8080", "LISTEN:-8080", "nginx: it is published to others"),
    (WATCH, r"GRAFANA_LISTEN:-127\.0\.0\.1:3000", "GRAFANA_LISTEN:-0.0.0.0:3000", "grafana: it is published to others"),
    (COMPOSE, r"source: \./redis/queue\.conf", "source: ./redis/redis.conf", "redis.conf is not there"),
    (COMPOSE, r"target: /etc/nginx, read_only: true", "target: /etc/nginx", "nginx: it may write to nginx"),
    (COMPOSE, r"- \{type: bind, source: \./redis/queue\.conf.*\}", "- ./redis/queue.conf:/etc/fanfare/queue.conf:ro", "redis: a missing queue.conf would be made"),
    (WATCH, r'source: "\$\{DOCKER_CONTAINERS[^}]*\}"', "source: /var/run/docker.sock", "logs: it has Docker's socket"),
    (COMPOSE, r"- worker-tmp:/tmp", "- worker-tmp:/data", "worker: its /tmp is not on a disk"),
    (COMPOSE, r"mode=1777,size=64m", "mode=1777", "may take all of the memory"),
    (COMPOSE, r"networks: \[front, outside\]", 'tmpfs: ["/x:size=1m"]\n    networks: [front, outside]', "may belong to root"),
    (COMPOSE, r"FANFARE_DRAIN: 20s", "FANFARE_DRAINS: 20s", "there is no setting FANFARE_DRAINS"),
    (COMPOSE, r"\$\{WORKERS:-2\}", "${WORKER_COUNT:-2}", "does not tell of WORKER_COUNT"),
    (EXAMPLE, r"^#API_MEMORY=1g", "#API_MEMORY=2g", "another default of API_MEMORY"),
    (EXAMPLE, r"^#WORKERS=2", "#WORKERS=2\n#SCHEDULERS=2", "tells of SCHEDULERS"),
    (COMPOSE, r"\$\{MONITOR_PASSWORD:\?[^}]*\}", "${MONITOR_PASSWORD:-}", "MONITOR_PASSWORD may be left out"),
    (COMPOSE, r"PGPASSWORD: \$.*", "PGPASSWORD: fanfare", "PGPASSWORD stands in the file"),
    (COMPOSE, r"postgres://fanfare@", "postgres://fanfare:secret@", "there is a password in an address"),
    # who waits for whom
    (COMPOSE, r"^    postgres: \{condition: service_healthy\}\n", "", "api: it waits for"),
    (COMPOSE, r"api: \{condition: service_healthy\}", "api: {condition: service_started}", "nginx: it waits for"),
    (COMPOSE, r"redis: \{condition: service_healthy\}", "redis: {condition: service_started}", "scheduler: it waits for"),
    (COMPOSE, r"migrate: \{condition: service_completed_successfully\}", "migrate: {condition: service_started}", "worker: it waits for"),
    # who reaches whom
    (COMPOSE, r"networks: \[front, outside\]", "networks: [front, outside, data]", "the network data has nginx"),
    (COMPOSE, r"networks: \[data, observe\]", "networks: [data, observe, feeds]", "scheduler: it is in the network feeds"),
    (COMPOSE, r"^  front:\n    internal: true\n", "  front:\n", "network front: it leads out"),
    (COMPOSE, r"FANFARE_TRUSTED_PROXIES: .*", "FANFARE_TRUSTED_PROXIES: 10.0.0.0/8", "the proxies that it trusts"),
    (COMPOSE, r"FANFARE_ALLOW_NETWORKS: \$\{FANFARE_ALLOW_NETWORKS:-\}", "FANFARE_ALLOW_NETWORKS: 10.0.0.0/8", "without being told to"),
    (COMPOSE, r"\.66\.200", ".66.100", "is not its own in the network feeds"),
    (EXAMPLE, r"10\.213\.66\.200", "10.213.66.0/24", "allows another address"),
    # how long, how many, how much
    (COMPOSE, r"stop_grace_period: 30s\n    ulimits", "stop_grace_period: 20s\n    ulimits", "worker: it is killed after 20 s"),
    (COMPOSE, r"FANFARE_DRAIN_DELAY: 5s", "FANFARE_DRAIN_DELAY: 10s", "api: it is killed after 20 s"),
    (COMPOSE, r"^    stop_signal: SIGQUIT\n", "", "nginx: it is not asked to end by SIGQUIT"),
    (COMPOSE, r"replicas: \$\{WORKERS:-2\}", "replicas: 1", "worker: there is one alone"),
    (COMPOSE, r"command: \[api\]", "command: [all]", "api: its command is"),
    (COMPOSE, r"POSTGRES_SHARED_BUFFERS:-512MB", "POSTGRES_SHARED_BUFFERS:-2GB", "postgres: shared_buffers does not fit"),
    ("deploy/postgres/postgresql.conf", r"^synchronous_commit = on", "synchronous_commit = off", "postgres: synchronous_commit is off"),
    ("deploy/postgres/postgresql.conf", r"^max_connections = 300", "max_connections = 100", "postgres: there are not connections enough"),
    ("deploy/postgres/init.sh", r"CREATE ROLE fanfare LOGIN", "CREATE ROLE fanfare SUPERUSER LOGIN", "grants more than is needed"),
    ("deploy/postgres/init.sh", r"CREATE DATABASE fanfare", "CREATE DATABASE events", "does not make the user and the database"),
    ("deploy/redis/queue.conf", r"noeviction", "allkeys-lru", "redis: maxmemory-policy is allkeys-lru"),
    ("deploy/redis/queue.conf", r'^save ""', "save 60 1000", "redis: save is 60 1000"),
    ("deploy/redis/queue.conf", r"^maxmemory 256mb", "maxmemory 500mb", "redis: its maxmemory"),
    # what TLS adds
    (TLS, r"LISTEN_TLS:-127\.0\.0\.1:8443", "LISTEN_TLS:-0.0.0.0:8443", "not to this machine alone"),
    (TLS, r"/run/secrets/fanfare\.key", "/run/secrets/key", "/run/secrets/fanfare.key is not mounted"),
    (TLS, r"\./nginx/tls\.conf", "./nginx/server.conf", "nginx does not read tls.conf"),
    # what is watched
    (PROMETHEUS, r"job_name: fanfare-worker", "job_name: worker", "the job for worker is called worker"),
    (PROMETHEUS, r"names: \[api\], type: A, port: 9464", "names: [api], type: A, port: 8080", "the job fanfare-api asks port 8080"),
    (PROMETHEUS, r'targets: \["redis-exporter:9121"\]', 'targets: ["redis:6379"]', "prometheus asks redis:6379"),
    (PROMETHEUS, r"rule_files: \[alerts\.yaml, ", "rule_files: [", "does not load alerts.yaml"),
    (PROMETHEUS, r"  - job_name: tempo\n.*\n", "", "prometheus does not ask tempo"),
    (SERVERS, r"#when-redis-is-gone", "#rediss", "has no section `#rediss`"),
    (WATCH, r"networks: \[observe, screens\]", "networks: [screens]", "prometheus does not reach"),
    (WATCH, r"PROMETHEUS_KEEP:-30d", "PROMETHEUS_KEEP:-15d", "it forgets before the 30 days"),
    (EXAMPLE, r"http://collector:4318", "http://collector:4319", "where the collector does not listen"),
    (COMPOSE, r"OTEL_EXPORTER_OTLP_ENDPOINT:-\}", "OTEL_EXPORTER_OTLP_ENDPOINT:-http://collector:4318}", "it sends traces although nobody asked"),
    (TRACES, r"endpoint: tempo:4317", "endpoint: tempo:4316", "collector asks tempo:4316"),
    (TRACES, r"exporters: \[otlp/tempo\]", "exporters: [otlp/jaeger]", "there is no otlp/jaeger"),
    (TRACES, r"port: 8888", "port: 8889", "Prometheus does not find its metrics"),
    ("deploy/tempo/tempo.yaml", r"0\.0\.0\.0:4317", "127.0.0.1:4317", "tempo takes traces at 127.0.0.1:4317"),
    ("deploy/tempo/tempo.yaml", r"block_retention: 168h", "block_retention: 0h", "tempo: its disk runs full"),
    (LOGS, r"/var/lib/docker/containers/\*", "/var/log/containers/*", "is not mounted"),
    (LOGS, r"^    storage: file_storage\n", "", "it forgets how far it has read"),
    (LOGS, r'"scheduler", ', "", "lines of scheduler are not called as its traces"),
    (LOGS, r"loki:3100/otlp", "loki:3100/v1/logs", "Loki does not take OTLP so"),
    (LOGS, r"processors: \[memory_limiter\]", "processors: [batch]", "nothing bounds its memory"),
    ("deploy/loki/loki.yaml", r"retention_enabled: true", "retention_enabled: false", "loki: its disk runs full"),
    (SOURCES, r"datasourceUid: loki", "datasourceUid: Loki", "a data source `Loki`, which there is not"),
    (SOURCES, r"type: tempo", "type: jaeger", "asks for a tempo, which is not provisioned"),
    (SOURCES, r"url: http://tempo:3200", "url: http://tempo:80", "grafana asks tempo:80"),
    (SOURCES, r"\$\$\{__tags\}", "${__tags}", "a dollar that is not doubled"),
    (SOURCES, r"max\(fanfare_queue_depth\{?", "max(fanfare_queue_length", "no dashboard knows the metric fanfare_queue_length"),
    (BOARDS, r"path: /etc/fanfare", "path: /var/lib/grafana/dashboards", "there are no dashboards in"),
    (WATCH, r"/etc/fanfare/fanfare-sync\.json", "/etc/fanfare/fanfare.json", "which is not mounted"),
]
