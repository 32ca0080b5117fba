"""How the containers hang together: who waits for whom, who reaches whom, and what is sized after what."""

import re
from ipaddress import ip_address, ip_network

from containers import ROLES, grace
from model import data_size, offered, seconds

HEALTHY, DONE = "service_healthy", "service_completed_successfully"
WAITS = {
    "postgres": {},
    "redis": {},
    "migrate": {"postgres": HEALTHY},
    "scheduler": {"migrate": DONE, "postgres": HEALTHY, "redis": HEALTHY},
    "worker": {"migrate": DONE, "postgres": HEALTHY, "redis": HEALTHY},
    # It answers without Redis, so it must start without it.
    "api": {"migrate": DONE, "postgres": HEALTHY},
    "nginx": {"api": HEALTHY},
    "postgres-exporter": {"postgres": HEALTHY},
    "redis-exporter": {"redis": HEALTHY},
}
# Networks that lead out of the machine, and who is in them.
OUT = {
    "feeds": {"worker", "simulator"},
    "outside": {"nginx"},
    "screens": {"prometheus", "grafana"},
}
DATA = {"postgres", "redis", "migrate", "scheduler", "worker", "api", "postgres-exporter", "redis-exporter"}
FRONT = {"nginx", "api"}
# How long each may take to end, beside what its settings say.
LEAST_GRACE = {"postgres": 60, "scheduler": 15, "nginx": 35, "prometheus": 60}
# Of a process: FANFARE_DATABASE_CONNECTIONS, and two that listen.
CONNECTIONS = 12


def check(model, say):
    check_services(model, say)
    check_order(model, say)
    check_networks(model, say)
    check_times(model, say)
    check_postgres(model, say)
    check_redis(model, say)
    check_tls(model, say)


def check_services(model, say):
    plain = set(model.plain)
    if plain != set(WAITS) - {"postgres-exporter", "redis-exporter"}:
        say(f"without profiles there are {', '.join(sorted(plain))}")
    images = {model.services[role]["image"] for role in ROLES} | {model.services["simulator"]["image"]}
    if len(images) != 1:
        say(f"roles have different images: {', '.join(sorted(images))}")
    if [name for name, service in model.services.items() if service.get("build")] != ["migrate"]:
        say("not migrate alone builds the image")
    for role in ("scheduler", "worker", "api"):
        if model.services[role].get("deploy", {}).get("replicas", 1) < 2:
            say(f"{role}: there is one alone")
    for role in ROLES - {"migrate"}:
        test = model.services[role].get("healthcheck", {}).get("test", [])
        if test != ["CMD", "/usr/local/bin/fanfare", "healthcheck", "--ready"]:
            say(f"{role}: its health check does not ask whether it is ready")
        if model.services[role]["command"] != [role]:
            say(f"{role}: its command is {model.services[role]['command']}")


def check_order(model, say):
    for name, expected in WAITS.items():
        waits = model.services.get(name, {}).get("depends_on", {})
        found = {other: wait["condition"] for other, wait in waits.items()}
        if found != expected:
            say(f"{name}: it waits for {found or 'nothing'}")


def check_networks(model, say):
    members = {name: set() for name in model.networks}
    for name, service in model.services.items():
        for network in service.get("networks", {}):
            members[network].add(name)
    for network, setting in model.networks.items():
        if not setting.get("internal") and network not in OUT:
            say(f"network {network}: it leads out of the machine")
        for name in sorted(members[network] - OUT.get(network, members[network])):
            say(f"{name}: it is in the network {network}, which leads out of the machine")
    if members.get("data") != DATA:
        say(f"the network data has {', '.join(sorted(members.get('data', set()) ^ DATA))} too many or too few")
    if members.get("front") != FRONT:
        say(f"the network front has {', '.join(sorted(members.get('front', set()) ^ FRONT))} too many or too few")
    proxies = model.services["api"]["environment"].get("FANFARE_TRUSTED_PROXIES")
    if proxies != model.networks["front"]["ipam"]["config"][0].get("subnet"):
        say(f"api: the proxies that it trusts, {proxies}, are not the network front")
    check_simulator(model, say)


def check_simulator(model, say):
    address = model.services["simulator"]["networks"]["feeds"].get("ipv4_address", "")
    feeds = model.networks["feeds"]["ipam"]["config"][0]
    if ip_address(address) not in ip_network(feeds["subnet"]) or ip_address(address) in ip_network(feeds["ip_range"]):
        say(f"simulator: {address} is not its own in the network feeds")
    if model.services["worker"]["environment"].get("FANFARE_ALLOW_NETWORKS"):
        say("worker: it may fetch from networks that are not public, without being told to")
    example = offered((model.deploy / "compose/env.example").read_text())
    if example.get("FANFARE_ALLOW_NETWORKS") != address:
        say("compose/env.example allows another address than the simulator's")


def check_times(model, say):
    worker, api = model.services["worker"], model.services["api"]
    drain = seconds(worker["environment"].get("FANFARE_DRAIN"))
    if not drain or grace(worker) < drain + 10:
        say(f"worker: it is killed after {grace(worker)} s, and drains for {drain} s")
    delay = seconds(api["environment"].get("FANFARE_DRAIN_DELAY"))
    if not delay or grace(api) < delay + 15:
        say(f"api: it is killed after {grace(api)} s, and waits {delay} s before it drains")
    for name, least in LEAST_GRACE.items():
        if grace(model.services[name]) < least:
            say(f"{name}: it is killed after {grace(model.services[name])} s")
    for name in ("api", "worker", "nginx", "postgres", "redis"):
        if not model.services[name].get("ulimits", {}).get("nofile"):
            say(f"{name}: nothing says how many files it may open")
    if model.services["api"].get("ulimits", {}).get("nofile", {}).get("hard", 0) < 10_000 + 500:
        say("api: it may open fewer files than FANFARE_API_CONNECTIONS and some hundreds")
    for name, signal in (("postgres", "SIGINT"), ("nginx", "SIGQUIT")):
        if model.services[name].get("stop_signal") != signal:
            say(f"{name}: it is not asked to end by {signal}")


def check_postgres(model, say):
    service = model.services["postgres"]
    memory = int(service["deploy"]["resources"]["limits"].get("memory", 0))
    given = dict(argument.split("=", 1) for argument in service["command"] if "=" in argument)
    text = (model.deploy / "postgres/postgresql.conf").read_text()
    conf = dict(re.findall(r"^(\w[\w.]*)\s*=\s*'?([^'#\n]*?)'?\s*(?:#.*)?$", text, re.MULTILINE))
    for name, share in (("shared_buffers", 4), ("maintenance_work_mem", 8), ("effective_cache_size", 4 / 3)):
        if abs(data_size(given.get(name, "0")) * share - memory) > memory / 50:
            say(f"postgres: {name} does not fit its memory")
    for name, expected in (("synchronous_commit", "on"), ("fsync", "on"), ("full_page_writes", "on")):
        if conf.get(name, given.get(name, expected)) != expected:
            say(f"postgres: {name} is {conf.get(name)}")
    processes = sum(model.services[role].get("deploy", {}).get("replicas", 1) for role in ROLES)
    if int(conf.get("max_connections", 100)) < 2 * CONNECTIONS * processes:
        say("postgres: there are not connections enough for twice the processes")
    if "pg_stat_statements" not in conf.get("shared_preload_libraries", ""):
        say("postgres: pg_stat_statements is not loaded")
    if "--data-checksums" not in service["environment"].get("POSTGRES_INITDB_ARGS", ""):
        say("postgres: its pages have no checksums")
    address = re.fullmatch(r"postgres://(\w+)@postgres:5432/(\w+)\?sslmode=disable", model.services["api"]["environment"]["FANFARE_DATABASE_URL"])
    made = (model.deploy / "postgres/init.sh").read_text()
    if not address or not all(f"CREATE {what} {name} " in made for what, name in zip(("ROLE", "DATABASE"), address.groups())):
        say("postgres: init.sh does not make the user and the database that roles use")
    if "SUPERUSER" in made or not re.search(r"^REVOKE ALL ON DATABASE fanfare FROM PUBLIC;$", made, re.MULTILINE):
        say("postgres: init.sh grants more than is needed")


def check_redis(model, say):
    text = (model.deploy / "redis/queue.conf").read_text()
    conf = dict(re.findall(r"^([\w-]+) (.+)$", text, re.MULTILINE))
    for name, expected in (("maxmemory-policy", "noeviction"), ("save", '""'), ("appendonly", "no")):
        if conf.get(name) != expected:
            say(f"redis: {name} is {conf.get(name)}")
    limit = int(model.services["redis"]["deploy"]["resources"]["limits"].get("memory", 0))
    if not 0 < 1.5 * data_size(conf.get("maxmemory", "0")) <= limit:
        say("redis: its maxmemory is none, or too near to the container's limit")
    for role in ("scheduler", "worker"):
        if model.services[role]["environment"].get("FANFARE_REDIS_URL") != "redis://redis:6379":
            say(f"{role}: it has another Redis")
    if "FANFARE_REDIS_URL" in model.services["api"]["environment"]:
        say("api: it has nothing to do with the queue")


def check_tls(model, say):
    service, plain = model.encrypted["nginx"], model.plain["nginx"]
    ports = {port["target"] for port in service["ports"]}
    if ports != {8080, 8443} or any(port.get("host_ip") != "127.0.0.1" for port in service["ports"]):
        say(f"tls.yaml: nginx publishes {ports}, or not to this machine alone")
    mounts = {mount["target"]: mount for mount in service["volumes"]}
    text = (model.deploy / "nginx/tls.conf").read_text()
    for place in re.findall(r"ssl_certificate(?:_key)? +([^;]+);", text):
        if not mounts.pop(place, {}).get("read_only"):
            say(f"tls.yaml: {place} is not mounted, or can be written")
    conf = mounts.pop("/etc/nginx/server.conf", {})
    if conf.get("source") != str(model.deploy / "nginx/tls.conf"):
        say("tls.yaml: nginx does not read tls.conf")
    if "listen 8443 ssl" not in text or set(mounts) != {mount["target"] for mount in plain["volumes"]}:
        say("tls.yaml: it changes more than it should")
    changed = {key for key in service if service[key] != plain.get(key)} - {"ports", "volumes"}
    if changed:
        say(f"tls.yaml: it changes {', '.join(sorted(changed))}")
