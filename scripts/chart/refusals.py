"""Values that make no sense, each of which the chart has to refuse, with words that help.

    refusals.py ROOT HELM       prints what was taken, and ends with 1 if anything was
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from render import NAMESPACE, RELEASE, Failed, helm

# What is set, and what the refusal has to say.
WRONG = [
    ("workers.replicas=3", "workers"),
    ("worker.replica=3", "replica"),
    ("worker.replicas=three", "replicas"),
    ("worker.replicas=-1", "replicas"),
    ("image.repo=x", "repo"),
    ("image.digest=sha256:abc", "digest"),
    ("image.pullPolicy=Sometimes", "pullPolicy"),
    ("secrets.databaseUrl=postgres://me:secret@host/fanfare", "databaseUrl"),
    ("secrets.databaseUrl.value=postgres://me:secret@host/fanfare", "value"),
    ("secrets.name=", "secrets"),
    ("secrets.databaseUrl.key=", "databaseUrl"),
    ("secrets.redisUrl.key=", "redisUrl"),
    ("config.FANFARE_DATABASE_URL=postgres://me:secret@host/fanfare", "FANFARE_DATABASE_URL"),
    ("api.config.FANFARE_ADMIN_TOKEN=0123456789abcdef", "FANFARE_ADMIN_TOKEN"),
    ("worker.config.FANFARE_PROXY=http://proxy:3128", "FANFARE_PROXY"),
    ("config.FANFARE_LEESE=20s", "FANFARE_LEESE"),
    ("config.FANFARE_LEASE=20", "FANFARE_LEASE"),
    ("worker.config.FANFARE_LEASE=20s", "FANFARE_LEASE"),
    ("worker.config.FANFARE_QUEUE=other", "FANFARE_QUEUE"),
    ("config.FANFARE_QUEUE=two words", "FANFARE_QUEUE"),
    ("config.FANFARE_DRAIN=20s", "FANFARE_DRAIN"),
    ("worker.config.FANFARE_DRAIN=20 seconds", "FANFARE_DRAIN"),
    ("worker.config.FANFARE_WORKER_CONCURRENCY=0", "FANFARE_WORKER_CONCURRENCY"),
    ("worker.config.FANFARE_MAX_SPOOL=8Gi", "FANFARE_MAX_SPOOL"),
    ("worker.config.FANFARE_ALLOW_NETWORKS=internal.example", "FANFARE_ALLOW_NETWORKS"),
    ("api.config.FANFARE_RATE_LIMIT=0", "FANFARE_RATE_LIMIT"),
    ("api.config.FANFARE_LISTEN=0.0.0.0:80", "FANFARE_LISTEN"),
    ("scheduler.config.FANFARE_OBSERVE_LISTEN=0.0.0.0:80", "FANFARE_OBSERVE_LISTEN"),
    ("scheduler.config.FANFARE_LOG_FORMAT=xml", "FANFARE_LOG_FORMAT"),
    ("worker.extraEnv[0].name=FANFARE_DRAIN,worker.extraEnv[0].value=5m", "extraEnv"),
    ("worker.extraEnv[0].name=OTEL_SERVICE_NAME,worker.extraEnv[0].value=x", "extraEnv"),
    ("worker.extraVolumes[0].emptyDir.medium=Memory", "extraVolumes"),
    ("otel.env.OTEL_SERVICE_NAME=fanfare", "OTEL_SERVICE_NAME"),
    ("otel.env.OTEL_EXPORTER_OTLP_HEADERS=authorization=token", "OTEL_EXPORTER_OTLP_HEADERS"),
    ("otel.env.TRACES=off", "TRACES"),
    ("otel.endpoint=collector:4317", "endpoint"),
    ("otel.endpoint=https://me:secret@otlp.example", "endpoint"),
    ("worker.keda.enabled=true", "address"),
    ("worker.keda.enabled=true,worker.keda.redis.address=redis://h:6379", "address"),
    ("worker.keda.minReplicas=0", "minReplicas"),
    ("worker.keda.enabled=true,worker.keda.redis.address=h:1,worker.keda.minReplicas=30", "minReplicas"),
    ("worker.keda.enabled=true,worker.keda.redis.address=h:1,worker.keda.redis.passwordSecret.key=a,worker.keda.redis.authenticationRef.name=b", "authenticationRef"),
    ("worker.keda.fallback.behavior=guess", "behavior"),
    ("worker.keda.triggers[0].type=cpu", "triggers"),
    ("api.autoscaling.minReplicas=11", "minReplicas"),
    ("api.resources.requests.cpu=null", "requests.cpu"),
    ("api.ingress.enabled=true", "hosts"),
    ("api.ingress.hosts[0].hots=a", "hots"),
    ("api.httpRoute.enabled=true", "parentRefs"),
    ("api.service.type=ExternalName", "type"),
    ("api.service.externalTrafficPolicy=Local", "externalTrafficPolicy"),
    ("listenAddress=127.0.0.1", "listenAddress"),
    ("api.podDisruptionBudget.maxUnavailable=0", "maxUnavailable"),
    ("worker.podDisruptionBudget.maxUnavailable=0%", "maxUnavailable"),
    ("worker.podDisruptionBudget.minAvailable=1", "minAvailable"),
    ("worker.topologySpread[0].topologyKey=zone", "topologySpread"),
    ("worker.tmp.sizeLimit=lots", "sizeLimit"),
    ("podSecurity.runAsUser=0", "runAsUser"),
    ("podSecurity.runAsRoot=true", "runAsRoot"),
    ("providers.file=x,providers.existingConfigMap.name=y", "not both"),
    ("networkPolicy.database.to=null,networkPolicy.database.cidr=10.0.0.0/8", "cidr"),
    ("networkPolicy.feeds.exceptV4[0]=10.0.0.0", "exceptV4"),
    ("networkPolicy.clients.from[0].cidr=10.0.0.0/8", "from"),
    ("monitoring.serviceMonitor.interval=30", "interval"),
    ("monitoring.prometheusRules.enabled=true", "prometheusRules"),
    ("fullnameOverride=Events", "fullnameOverride"),
]


def taken(program, chart, setting, expected):
    """Nothing if it is refused as it should be."""
    try:
        helm(program, "template", RELEASE, chart, "--namespace", NAMESPACE, "--set", setting)
    except Failed as failed:
        said = str(failed)
        if "secret@" in said or "0123456789abcdef" in said:
            return f"{setting}: the refusal repeats the secret"
        return None if expected in said else f"{setting}: the refusal does not name `{expected}`: {said}"
    return f"{setting}: it is taken"


def main():
    root, program = Path(sys.argv[1]), sys.argv[2]
    chart = root / "deploy/helm/fanfare"
    with ThreadPoolExecutor(4) as pool:
        told = [*filter(None, pool.map(lambda wrong: taken(program, chart, *wrong), WRONG))]
    for line in told:
        print(line)
    print(f"{len(WRONG)} values that make no sense, {len(WRONG) - len(told)} refused")
    sys.exit(1 if told else 0)


if __name__ == "__main__":
    main()
