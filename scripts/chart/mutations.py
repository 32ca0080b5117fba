"""Breaks one thing at a time in copies of the chart, and expects the check to find it.

    mutations.py ROOT HELM      prints what passed unseen, and ends with 1 if anything did
"""

import re
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from check import faults
from schemas import NEWEST

POD, ENV, NAMES, QUANTITIES = (f"templates/_{name}.tpl" for name in ("pod", "env", "names", "quantities"))
NETWORK, POLICY = "templates/_network.tpl", "templates/networkpolicy.yaml"
SCHEDULER, WORKER, API = (f"templates/{name}.yaml" for name in ("scheduler", "worker", "api"))
KEDA, HPA = "templates/worker-scaling.yaml", "templates/api-scaling.yaml"
MIGRATE, MONITOR, RULE = "templates/migrate.yaml", "templates/servicemonitor.yaml", "templates/prometheusrule.yaml"
SCHEMA, VALUES = "values.schema.json", "values.yaml"
EVERYTHING, MINIMAL, FIXED = (f"{name}-values.yaml" for name in ("everything", "minimal", "fixed"))

# File, pattern, replacement of its first match, values to render it with, and what the fault has to say.
MUTATIONS = [
    # What Kubernetes, KEDA and the others would refuse or drop.
    (POD, r"readOnlyRootFilesystem: true", "readonlyRootFilesystem: true", MINIMAL, "readonlyRootFilesystem"),
    (POD, r"failureThreshold: 40", 'failureThreshold: "40"', MINIMAL, "is not of type"),
    (POD, r"imagePullPolicy:", "imagePullPolicy: Always\nimagePullPolicy:", MINIMAL, "stands twice"),
    (API, r"appProtocol: http", "appProtocl: http", MINIMAL, "appProtocl"),
    (KEDA, r"maxReplicaCount:", "maxReplicas:", EVERYTHING, "maxReplicas"),
    (KEDA, r"\| int \| quote \}\}\n      \{\{- if \$own", "| int }}\n      {{- if $own", EVERYTHING, "is not of type 'string'"),
    (KEDA, r"    - parameter: \{\{ \$parameter \}\}", "    - param: {{ $parameter }}", EVERYTHING, "param"),
    (MONITOR, r"targetLabel: job", "targetlabel: job", EVERYTHING, "targetlabel"),
    (RULE, r"^spec:\n", "spec:\n  severity: all\n", EVERYTHING, "severity"),
    ("templates/httproute.yaml", r"backendRefs:", "backends:", EVERYTHING, "backends"),
    ("templates/ingress.yaml", r"pathType: .*", "pathTyp: Prefix", EVERYTHING, "pathTyp"),
    ("templates/pdb.yaml", r"policy/v1", "policy/v1beta1", MINIMAL, "has no policy/v1beta1"),
    # Pods.
    (POD, r"allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", MINIMAL, "allowPrivilegeEscalation is not"),
    (POD, r"  readOnlyRootFilesystem: true\n", "", MINIMAL, "readOnlyRootFilesystem is not"),
    (POD, r"drop: \[ALL\]", "drop: [NET_RAW]", MINIMAL, "capabilities is not"),
    (POD, r"runAsNonRoot: true", "runAsNonRoot: false", MINIMAL, "runAsNonRoot is not"),
    (POD, r"type: RuntimeDefault", "type: Unconfined", MINIMAL, "seccompProfile is not"),
    (POD, r"  fsGroup: \{\{ \. \| int64 \}\}\n", "", MINIMAL, "its fsGroup is not"),
    (POD, r"automountServiceAccountToken: false", "automountServiceAccountToken: true", MINIMAL, "a token for Kubernetes"),
    (POD, r"enableServiceLinks: false", "enableServiceLinks: true", MINIMAL, "variables of services"),
    (POD, r"FallbackToLogsOnError", "File", MINIMAL, "leaves no reason"),
    (POD, r"args: \[\{\{ \.role \}\}\]", "args: [serve]", MINIMAL, "is no command"),
    (POD, r"liveness(Probe:\n  httpGet: \{ path: )/healthz", "livenessProbe:\n  httpGet: { path: /readyz", MINIMAL, "liveness probe does not ask"),
    (POD, r"path: /readyz, port: observe", "path: /readyz, port: http", MINIMAL, "readiness probe does not ask"),
    (POD, r"containerPort: 9464", "containerPort: 9465", MINIMAL, "which is not its port `observe`"),
    (POD, r"timeoutSeconds: 5\n  failureThreshold: 3", "timeoutSeconds: 5\n  failureThreshold: 1", MINIMAL, "liveness probe gives up"),
    (POD, r"periodSeconds: 5\n", "periodSeconds: 1\n", MINIMAL, "overlaps itself"),
    (POD, r"emptyDir:\n", "emptyDir:\n  medium: Memory\n", MINIMAL, "/tmp is in memory"),
    (POD, r"component\" \$\.role\) \| nindent 10", 'component" "api") | nindent 10', MINIMAL, "spread among pods that are not its own"),
    (QUANTITIES, r'"20s"\) \| int64\) 10', '"20s") | int64) 5', MINIMAL, "s to stop, and should have 30"),
    (QUANTITIES, r'"0s"\) \| int64\) 15', '"0s") | int64) 10', MINIMAL, "s to stop, and should have 25"),
    (QUANTITIES, r'"m" 60000', '"m" 6000', EVERYTHING, "s to stop, and should have 100"),
    (QUANTITIES, r'default "20s"', 'default "10s"', FIXED, "s to stop, and should have 30"),
    (QUANTITIES, r"add \$ms 999", "add $ms 0", EVERYTHING, "s to stop, and should have 30.5"),
    (QUANTITIES, r"int64 \$bound\) 268435456", "int64 $bound) 0", MINIMAL, "is too small for"),
    (QUANTITIES, r"default 2147483648", "default 1024", FIXED, "is too small for"),
    (QUANTITIES, r'printf "%d" \(int64 \.\)', "toString .", EVERYTHING, "which Fanfare does not read"),
    (WORKER, r'"mountPath" "/tmp"', '"mountPath" "/var/tmp"', MINIMAL, "can't write to /tmp"),
    (VALUES, r"cpu: 250m, ", "", MINIMAL, "requests no cpu"),
    (VALUES, r"limits: \{ memory: 1Gi \}", "limits: { memory: 64Mi }", MINIMAL, "its memory is not bounded"),
    (VALUES, r"limits: \{ memory: 1Gi \}", "limits: { memory: 1Gi, cpu: 1 }", MINIMAL, "a limit of CPU"),
    # Variables and secrets.
    (POD, r"name: FANFARE_OBSERVE_LISTEN", "name: FANFARE_OBSERVE", MINIMAL, "FANFARE_OBSERVE is no variable"),
    (API, r'"FANFARE_LISTEN"', '"FANFARE_ADDRESS"', MINIMAL, "FANFARE_ADDRESS is no variable"),
    (ENV, r"sortAlpha \}\}\n", 'sortAlpha }}\n- { name: FANFARE_LEASE, value: "1s" }\n', EVERYTHING, "FANFARE_LEASE is set twice"),
    (ENV, r"- name: K8S_NODE_NAME", "- { name: OTEL_SERVICE_NAME, value: x }\n- name: K8S_NODE_NAME", EVERYTHING, "roles name themselves"),
    (ENV, r"  valueFrom:\n    secretKeyRef:\n.*\n.*\n", '  value: "postgres://me:secret@host/fanfare"\n', MINIMAL, "stands there as it is"),
    (ENV, r"\$\.root\.Values\.secrets\.name \.name", '"other" .name', MINIMAL, "a Secret that no value names"),
    (ENV, r'list "scheduler" "worker"\)', 'list "scheduler")', MINIMAL, "it lacks FANFARE_REDIS_URL"),
    (ENV, r'list "api" "doctor"\)', 'list "api" "worker" "doctor")', EVERYTHING, "FANFARE_ADMIN_TOKEN, which it has no use for"),
    (ENV, r'"FANFARE_REDIS_URL" \$secrets\.redisUrl', '"FANFARE_REDIS_URL" $secrets.databaseUrl', MINIMAL, "not what secrets.redisUrl names"),
    (ENV, r"\$database = \$secrets\.migrateDatabaseUrl", "$database = $secrets.databaseUrl", EVERYTHING, "not what secrets.migrateDatabaseUrl names"),
    (ENV, r'append \$wanted \(list "FANFARE_CACHE_URL" \$secrets\.cacheUrl\)', "$wanted", EVERYTHING, "it lacks FANFARE_CACHE_URL"),
    (ENV, r"\.config \.root\.Values\.config", ".root.Values.config .config", EVERYTHING, "and values say warn"),
    (ENV, r"sortAlpha \}\}\n", "sortAlpha | rest }}\n", EVERYTHING, "is None, and values say"),
    (ENV, r"\.root\.Values\.config -\}\}", '.root.Values.config }}\n- { name: FANFARE_HOST_GAP, value: "9s" }', "scheduler-only-values.yaml", "is set, and no value says so"),
    (ENV, r"\.endpoint \| quote", '"http://me:secret@otlp"', EVERYTHING, "a password stands in an address"),
    (RULE, r'runbook_url: %s', "runbook_url: see %s", "other-values.yaml", "it is not what deploy/prometheus"),
    (SCHEMA, r'"FANFARE_TICK"', '"FANFARE_TOCK"', MINIMAL, "FANFARE_TICK can't be set"),
    (SCHEMA, r'"FANFARE_HOST_GAP"', '"FANFARE_HOST_GAPS"', MINIMAL, "FANFARE_HOST_GAPS is no variable"),
    (SCHEMA, r'"additionalProperties": false,\n  "definitions"', '"additionalProperties": true,\n  "definitions"', MINIMAL, "takes what it does not know"),
    ("Chart.yaml", r'appVersion: ".*"', 'appVersion: "9.9.9"', MINIMAL, "the workspace's version"),
    ("Chart.yaml", r">=1\.29\.0-0", ">=1.20.0-0", MINIMAL, "the oldest that is validated"),
    ("README.md", r"\| `worker\.replicas` \| `2`", "| `worker.replicas` | `5`", MINIMAL, "its table of values"),
    # How documents refer to each other.
    (NAMES, r"app\.kubernetes\.io/instance: \{\{ \.root\.Release\.Name \}\}\n", "app.kubernetes.io/instance: {{ .root.Release.Name }}\nhelm.sh/chart: {{ .root.Chart.Version }}\n", MINIMAL, "which may change and must not"),
    (NAMES, r' "helm\.sh/chart" "app', ' "app', MINIMAL, "a new chart replaces its pods"),
    (API, r'"component" "api"\) \| nindent 6', '"component" "worker") | nindent 6', MINIMAL, "does not tell its pods from those"),
    (API, r'"component" "api"\) \| nindent 4 \}\}\n  ports', '"component" "") | nindent 4 }}\n  ports', MINIMAL, "leads to more than the API"),
    (API, r"targetPort: http", "targetPort: observe", MINIMAL, "gives out metrics"),
    (API, r"targetPort: http", "targetPort: web", MINIMAL, "have no port web"),
    (API, r"maxUnavailable: 0", "maxUnavailable: 1", MINIMAL, "a roll-out takes away more"),
    (WORKER, r"\{\{- if not \.Values\.worker\.keda\.enabled \}\}", "{{- if true }}", EVERYTHING, "not just one's to say"),
    (API, r"\{\{- if not \.Values\.api\.autoscaling\.enabled \}\}", "{{- if false }}", FIXED, "not just one's to say"),
    ("templates/pdb.yaml", r"maxUnavailable: .*", "minAvailable: 1", MINIMAL, "keep a node from being drained"),
    ("templates/pdb.yaml", r'"scheduler" "worker" "api"', '"scheduler" "api"', MINIMAL, "worker: it has no budget"),
    ("templates/pdb.yaml", r'"component" \$role\) \| nindent 6', '"component" "") | nindent 6', MINIMAL, "it is for 3 deployments"),
    ("templates/ingress.yaml", r"name: http", "name: web", EVERYTHING, "which there is not"),
    ("templates/httproute.yaml", r"port: \{\{.*", "port: 80", EVERYTHING, "which there is not"),
    (SCHEDULER, r'"checksum/providers"', '"note"', EVERYTHING, "does not replace it"),
    (SCHEDULER, r'"path" "providers\.toml"', '"path" "events.toml"', EVERYTHING, "there is no /etc/fanfare/providers.toml"),
    ("templates/providers.yaml", r"Values\.providers\.file \|", "Values.nameOverride |", EVERYTHING, "its provider file is not"),
    (MIGRATE, r"pre-install,pre-upgrade", "post-install", MINIMAL, "not there yet when the migration runs"),
    (MIGRATE, r'hook-weight: "-10"', 'hook-weight: "10"', MINIMAL, "comes after the migration"),
    (MIGRATE, r"before-hook-creation,", "", MINIMAL, "a second one of its name"),
    (MIGRATE, r"  activeDeadlineSeconds: .*\n", "", MINIMAL, "may hang for ever"),
    (MIGRATE, r"restartPolicy: Never", "restartPolicy: OnFailure", MINIMAL, "takes its log with it"),
    (MIGRATE, r'pre-upgrade\n    helm\.sh/hook-weight: "0"', 'pre-upgrade,pre-rollback\n    helm.sh/hook-weight: "0"', MINIMAL, "an older migration"),
    ("templates/tests/api.yaml", r"--observe-listen", "--listen", MINIMAL, "asks itself"),
    ("templates/tests/api.yaml", r"healthcheck, --ready", "healthcheck, --steady", MINIMAL, "`--steady` is no option"),
    ("templates/tests/api.yaml", r"helm\.sh/hook: test", "helm.sh/hook: post-install", MINIMAL, "is no test"),
    ("templates/tests/doctor.yaml", r"before-hook-creation", "before-hook-creation,hook-succeeded", MINIMAL, "its log is gone"),
    # Networks.
    (POLICY, r"policyTypes: \[Ingress, Egress\]", "policyTypes: [Ingress]", MINIMAL, "no policy denies"),
    (POLICY, r'if eq \$role "worker"', 'if eq $role "api"', MINIMAL, "it can reach 203.0.114.7"),
    (POLICY, r'if ne \$role "api"', "if true", MINIMAL, "can reach the redis, which is none"),
    (POLICY, r'\{\{- include "fanfare\.dnsRule" \$ \| nindent 4 \}\}', "", MINIMAL, "can not reach the dns"),
    (POLICY, r'if \$\.Values\.otel\.endpoint', "if false", EVERYTHING, "can not reach the otlp"),
    (POLICY, r"if and \(has \$role \(list \"api\" \"test\"\)\)", "if and (has $role (list \"test\"))", EVERYTHING, "can not reach the cache"),
    (POLICY, r"port: http \}", "port: observe }", MINIMAL, "others than Prometheus"),
    (POLICY, r"- from:\n        - podSelector", "- ports: [{ port: 8080 }]\n    - from:\n        - podSelector", MINIMAL, "anybody may speak to it"),
    (NETWORK, r"cidr: 0\.0\.0\.0/0\n        except:\n.*\n", "cidr: 0.0.0.0/0\n", MINIMAL, "it can reach 169.254.169.254"),
    (NETWORK, r'range \$feeds\.alsoExcept', "range list", EVERYTHING, "which values except"),
    (NETWORK, r"\{\{- range splitList .*", "{{- range list }}", EVERYTHING, "its providers live in 10.20.0.0/16"),
    (NETWORK, r'ternary \. \(printf .*', 'ternary . "0.0.0.0/0" }}', EVERYTHING, "it can reach 10.200.0.1"),
    (NETWORK, r"protocol: UDP", "protocol: TCP", MINIMAL, "can not reach the dns"),
    (VALUES, r"      - 169\.254\.0\.0/16\n", "", MINIMAL, "it can reach 169.254.169.254"),
    (VALUES, r'      - "fe80::/10"\n', "", MINIMAL, "it can reach fe80::1"),
    (VALUES, r'      - "ff00::/8"\n', "      - 10.9.0.0/16\n", MINIMAL, "does not lie in ::/0"),
    # Scaling.
    (KEDA, r'"\{%s\}:active"', '"%s:active"', EVERYTHING, "wait elsewhere"),
    (KEDA, r'default "fanfare"', 'default "queue"', "external-secrets-values.yaml", "wait elsewhere"),
    (KEDA, r"- type: redis\n", "- { type: cpu, metadata: { value: \"80\" } }\n    - type: redis\n", EVERYTHING, "not one trigger"),
    (KEDA, r"enableTLS: .*", 'enableTLS: "false"', EVERYTHING, "another Redis"),
    (KEDA, r"name: \{\{ include \"fanfare\.fullname\" \. \}\}-queue\n  labels", "name: other\n  labels", EVERYTHING, "there is no authentication"),
    (KEDA, r"scaleTargetRef:\n    name: .*", "scaleTargetRef:\n    name: workers", EVERYTHING, "it scales workers, which there is not"),
    (VALUES, r"scaleDownWindowSeconds: 600", "scaleDownWindowSeconds: 30", EVERYTHING, "at the first lull"),
    (HPA, r"name: cpu", "name: memory", EVERYTHING, "does not scale by use of CPU"),
    # Monitoring.
    ("files/alerts.yaml", r"14\.4 \* 0\.01", "20 * 0.01", EVERYTHING, "it is not what deploy/prometheus/alerts.yaml says"),
    ("files/dashboards/fanfare-api.json", r'"title": "', '"title": "Old ', EVERYTHING, "is not what deploy/grafana says"),
    ("templates/dashboards.yaml", r"\*\.json", "fanfare-a*.json", EVERYTHING, "dashboards are"),
    (MONITOR, r"replacement: fanfare-\$1", "replacement: events-$1", EVERYTHING, "which the alerts do not take"),
    (MONITOR, r"publishNotReadyAddresses: true", "publishNotReadyAddresses: false", EVERYTHING, "not ready are not scraped"),
    (MONITOR, r"clusterIP: None", "type: ClusterIP", EVERYTHING, "it gives out metrics"),
    (MONITOR, r"path: /metrics", "path: /metric", EVERYTHING, "where there are none"),
    (RULE, r"\.labels \(fromYaml", "(dict) (fromYaml", EVERYTHING, "lacks labels by which it is selected"),
]


def unseen(root, program, file, pattern, replacement, values, expected):
    """Nothing if the fault is found."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "fanfare"
        shutil.copytree(root / "deploy/helm/fanfare", copy)
        text = (copy / file).read_text()
        broken, count = re.subn(pattern, lambda _: replacement, text, count=1, flags=re.M)
        if not count:
            return f"{file}: there is no `{pattern}` any more to be broken"
        (copy / file).write_text(broken)
        found = list(faults(program, root, copy, [NEWEST], values))
        if any(expected in fault for fault in found):
            return None
        return f"{file}: `{pattern}` can be `{replacement}`; found was {found[:3]}"


def main():
    root, program = Path(sys.argv[1]), sys.argv[2]
    with ThreadPoolExecutor(2) as pool:
        told = [*filter(None, pool.map(lambda mutation: unseen(root, program, *mutation), MUTATIONS))]
    for line in told:
        print(line)
    print(f"{len(MUTATIONS)} broken copies, {len(MUTATIONS) - len(told)} found")
    sys.exit(1 if told else 0)


if __name__ == "__main__":
    main()
