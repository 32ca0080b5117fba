"""The profile `observability`: that each signal finds its way, and that Grafana finds what it shows."""

import json
import re
import shutil
import subprocess
from urllib.parse import urlsplit

from containers import LOG_LABELS, ROLES
from model import offered, seconds

PROFILE = {"collector", "logs", "tempo", "loki", "prometheus", "postgres-exporter", "redis-exporter", "grafana"}
# Where what is not ours answers.
PORTS = {
    "collector": {4317, 4318, 8888}, "logs": {8888}, "tempo": {3200, 4317}, "loki": {3100}, "prometheus": {9090},
    "postgres-exporter": {9187}, "redis-exporter": {9121}, "grafana": {3000},
}


def check(model, say):
    if missing := PROFILE - set(model.services):
        say(f"there is no {', '.join(sorted(missing))}")
        return
    check_scrapes(model, say)
    check_promtool(model, say)
    check_traces(model, say)
    check_logs(model, say)
    check_grafana(model, say)
    check_kept(model, say)


def reach(model, one, other):
    networks = [set(model.services.get(name, {}).get("networks", {})) for name in (one, other)]
    return bool(networks[0] & networks[1])


def check_target(model, asker, host, port, say):
    if host not in PORTS or port not in PORTS[host]:
        say(f"{asker} asks {host}:{port}, where nothing answers")
    elif not reach(model, asker, host):
        say(f"{asker} does not reach {host}")


def check_scrapes(model, say):
    config = model.yaml("prometheus/prometheus.yaml")
    asked = set()
    for job in config["scrape_configs"]:
        name = job["job_name"]
        if targets := [target for static in job.get("static_configs", []) for target in static["targets"]]:
            for target in targets:
                host, port = target.split(":")
                host = "prometheus" if host == "127.0.0.1" else host
                check_target(model, "prometheus", host, int(port), say)
                asked.add(host)
            if name.startswith("fanfare"):
                say(f"prometheus: the job {name} asks fixed targets, and not every replica")
            continue
        (names,) = job["dns_sd_configs"]
        (role,) = names["names"]
        listens = model.services.get(role, {}).get("environment", {}).get("FANFARE_OBSERVE_LISTEN", "")
        if names["type"] != "A" or listens != f"0.0.0.0:{names['port']}":
            say(f"prometheus: the job {name} asks port {names['port']}, and {role} answers at {listens or 'none'}")
        # What alerts and dashboards select.
        if name != f"fanfare-{role}":
            say(f"prometheus: the job for {role} is called {name}")
        if not reach(model, "prometheus", role):
            say(f"prometheus does not reach {role}")
        asked.add(role)
    for name in sorted((ROLES - {"migrate"} | PROFILE) - asked):
        say(f"prometheus does not ask {name}")
    for rules in config["rule_files"]:
        if not (model.deploy / "prometheus" / rules).exists():
            say(f"prometheus: there is no {rules}")
    if "alerts.yaml" not in config["rule_files"]:
        say("prometheus does not load alerts.yaml")
    check_runbooks(model, say)


def check_runbooks(model, say):
    manual = (model.root / "docs/OPERATIONS.md").read_text()
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)$", manual, re.MULTILINE)}
    for group in model.yaml("prometheus/servers.yaml")["groups"]:
        for rule in group["rules"]:
            anchor = rule["annotations"]["runbook_url"].partition("docs/OPERATIONS.md#")[2]
            if anchor not in anchors:
                say(f"servers.yaml: {rule['alert']}: the manual has no section `#{anchor}`")


def check_promtool(model, say):
    if not shutil.which("promtool"):
        return
    done = subprocess.run(
        ["promtool", "check", "config", "prometheus.yaml"],
        cwd=model.deploy / "prometheus", capture_output=True, text=True, timeout=60, check=False,
    )
    if done.returncode:
        say(f"prometheus: promtool refuses its configuration: {done.stdout}{done.stderr}")


def check_traces(model, say):
    config = model.yaml("collector/traces.yaml")
    check_pipelines("collector/traces.yaml", config, say)
    ports = {urlsplit(f"//{protocol['endpoint']}").port for protocol in config["receivers"]["otlp"]["protocols"].values()}
    example = offered((model.deploy / "compose/env.example").read_text())
    endpoint = urlsplit(example.get("OTEL_EXPORTER_OTLP_ENDPOINT", ""))
    if endpoint.hostname != "collector" or endpoint.port not in ports:
        say(f"compose/env.example sends traces to {endpoint.geturl()}, where the collector does not listen")
    for role in sorted(ROLES - {"migrate"}):
        if not reach(model, role, "collector"):
            say(f"{role} does not reach the collector")
        if model.services[role]["environment"].get("OTEL_EXPORTER_OTLP_ENDPOINT"):
            say(f"{role}: it sends traces although nobody asked for it")
        if "OTEL_SERVICE_NAME" in model.services[role]["environment"]:
            say(f"{role}: roles name themselves")
    host, port = config["exporters"]["otlp/tempo"]["endpoint"].split(":")
    check_target(model, "collector", host, int(port), say)
    tempo = model.yaml("tempo/tempo.yaml")
    receiver = tempo["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
    if receiver != f"0.0.0.0:{port}":
        say(f"tempo takes traces at {receiver}, and the collector sends them to {port}")


def check_pipelines(file, config, say):
    for name, pipeline in config["service"]["pipelines"].items():
        for part in ("receivers", "processors", "exporters"):
            for used in pipeline[part]:
                if used not in config[part]:
                    say(f"{file}: pipeline {name}: there is no {used}")
        if pipeline["processors"][:1] != ["memory_limiter"]:
            say(f"{file}: pipeline {name}: nothing bounds its memory")
    for extension in config["service"].get("extensions", []):
        if extension not in config.get("extensions", {}):
            say(f"{file}: there is no extension {extension}")
    (reader,) = config["service"]["telemetry"]["metrics"]["readers"]
    if reader["pull"]["exporter"]["prometheus"]["port"] != 8888:
        say(f"{file}: Prometheus does not find its metrics")


def check_logs(model, say):
    config = model.yaml("collector/logs.yaml")
    check_pipelines("collector/logs.yaml", config, say)
    service = model.services["logs"]
    receiver = config["receivers"]["filelog"]
    mounts = {mount["target"] for mount in service["volumes"]}
    (pattern,) = receiver["include"]
    if pattern.split("/*", 1)[0] not in mounts:
        say(f"logs: {pattern} is not mounted")
    storage = config.get("extensions", {}).get(receiver.get("storage"), {})
    if not any(storage.get("directory", "").startswith(target + "/") for target in mounts):
        say("logs: it forgets how far it has read")
    text = json.dumps(receiver["operators"])
    for label in sorted(LOG_LABELS):
        if label not in text:
            say(f"logs: it does not read the label {label}")
    for role in sorted(ROLES):
        if f'\\"{role}\\"' not in text:
            say(f"logs: lines of {role} are not called as its traces")
    if "${env:COMPOSE_PROJECT}" in text and "COMPOSE_PROJECT" not in service["environment"]:
        say("logs: nothing tells it whose lines are ours")
    exporter = config["exporters"]["otlphttp/loki"]
    pipeline = config["service"]["pipelines"]["logs"]
    if any(name.split("/")[0] == "batch" for name in pipeline["processors"]) or exporter["sending_queue"].get("enabled", True):
        say("logs: what it has taken is lost while Loki is away")
    endpoint = urlsplit(exporter["endpoint"])
    check_target(model, "logs", endpoint.hostname, endpoint.port, say)
    if endpoint.path != "/otlp" or not model.yaml("loki/loki.yaml")["limits_config"].get("allow_structured_metadata"):
        say("logs: Loki does not take OTLP so")


def check_grafana(model, say):
    folder = "grafana/provisioning/"
    sources = {source["uid"]: source for source in model.yaml(folder + "datasources/fanfare.yaml")["datasources"]}
    types = {source["type"] for source in sources.values()}
    for source in sources.values():
        address = urlsplit(source["url"])
        check_target(model, "grafana", address.hostname, address.port, say)
        for named in re.findall(r"'datasourceUid': '([^']*)'", str(source)):
            if named not in sources:
                say(f"grafana: {source['name']} leads to a data source `{named}`, which there is not")
        if re.search(r"(?<!\$)\$\{__", str(source)):
            say(f"grafana: {source['name']}: a dollar that is not doubled is gone before Grafana sees it")
    boards = sorted((model.deploy / "grafana").glob("*.json"))
    told = "".join(board.read_text() for board in boards)
    for board in boards:
        for variable in json.loads(board.read_text())["templating"]["list"]:
            if variable["type"] == "datasource" and variable["query"] not in types:
                say(f"grafana: {board.name} asks for a {variable['query']}, which is not provisioned")
    for query in sources.get("tempo", {}).get("jsonData", {}).get("tracesToMetrics", {}).get("queries", []):
        for metric in re.findall(r"\b(?:fanfare|http|db|process)_\w+(?=[\[{)])", query["query"]):
            if metric not in told:
                say(f"grafana: no dashboard knows the metric {metric}")
    check_dashboards(model, folder, say)


def check_dashboards(model, folder, say):
    service = model.services["grafana"]
    mounted = {mount["target"]: mount["source"] for mount in service["volumes"] if mount["type"] == "bind"}
    environment = service["environment"]
    for provider in model.yaml(folder + "dashboards/fanfare.yaml")["providers"]:
        if mounted.get(provider["options"]["path"]) != str(model.deploy / "grafana"):
            say(f"grafana: there are no dashboards in {provider['options']['path']}")
    for variable in ("GF_PATHS_PROVISIONING", "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"):
        place = environment.get(variable, "")
        if not any((model.deploy / "grafana" / place.removeprefix(target + "/")).exists() for target in mounted if place.startswith(target + "/")):
            say(f"grafana: {variable} is {place}, which is not mounted")


def check_kept(model, say):
    keep = " ".join(model.services["prometheus"]["command"])
    if "--storage.tsdb.retention.time=30d" not in keep:
        say("prometheus: it forgets before the 30 days of the objective are over")
    for name in ("tempo", "loki", "prometheus", "grafana"):
        if not any(mount["type"] == "volume" for mount in model.services[name]["volumes"]):
            say(f"{name}: it keeps nothing")
    loki = model.yaml("loki/loki.yaml")
    if not loki["compactor"].get("retention_enabled") or not loki["limits_config"].get("retention_period"):
        say("loki: its disk runs full")
    if not seconds(model.yaml("tempo/tempo.yaml")["compactor"]["compaction"].get("block_retention")):
        say("tempo: its disk runs full")
