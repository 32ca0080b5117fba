{{/* The environment of a container. */}}

{{/* One variable from a Secret, where a key is named. (root, reference, variable) */}}
{{- define "fanfare.secretVariable" -}}
{{- with .reference }}
{{- if .key }}
- name: {{ $.variable }}
  valueFrom:
    secretKeyRef:
      name: {{ default $.root.Values.secrets.name .name | required "secrets.name is needed: the Secret that holds the addresses of database and Redis" }}
      key: {{ .key }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Which secrets a role is given: no more than it uses. (root, role) */}}
{{- define "fanfare.secrets" -}}
{{- $secrets := .root.Values.secrets -}}
{{- $database := $secrets.databaseUrl -}}
{{- if and (eq .role "migrate") $secrets.migrateDatabaseUrl.key }}{{ $database = $secrets.migrateDatabaseUrl }}{{ end -}}
{{- $wanted := list (list "FANFARE_DATABASE_URL" $database) -}}
{{- $queue := or .root.Values.scheduler.enabled .root.Values.worker.enabled -}}
{{- if or (has .role (list "scheduler" "worker")) (and (eq .role "doctor") $queue) -}}
{{- $wanted = append $wanted (list "FANFARE_REDIS_URL" $secrets.redisUrl) -}}
{{- end -}}
{{- if has .role (list "worker" "doctor") -}}
{{- $wanted = append $wanted (list "FANFARE_PROXY" $secrets.proxy) -}}
{{- end -}}
{{- if has .role (list "api" "doctor") -}}
{{- $wanted = append $wanted (list "FANFARE_DATABASE_READ_URL" $secrets.databaseReadUrl) -}}
{{- $wanted = append $wanted (list "FANFARE_CACHE_URL" $secrets.cacheUrl) -}}
{{- $wanted = append $wanted (list "FANFARE_ADMIN_TOKEN" $secrets.adminToken) -}}
{{- end -}}
{{- range $wanted -}}
{{- include "fanfare.secretVariable" (dict "root" $.root "variable" (first .) "reference" (last .)) -}}
{{- end -}}
{{- end -}}

{{/* Settings, the role's own before those of all. (root, config) */}}
{{- define "fanfare.settings" -}}
{{- $config := merge (dict) .config .root.Values.config -}}
{{- range $name := keys $config | sortAlpha }}
{{- $value := get $config $name }}
{{- if not (kindIs "invalid" $value) }}
- name: {{ $name }}
  value: {{ include "fanfare.text" $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where telemetry goes, and as what it is told apart there. */}}
{{- define "fanfare.telemetry" -}}
{{- with .Values.otel -}}
{{- if .endpoint }}
- name: K8S_NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
- name: K8S_POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: K8S_NAMESPACE_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: K8S_NODE_IP
  valueFrom:
    fieldRef:
      fieldPath: status.hostIP
# After the variables that it may name.
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint | quote }}
{{- include "fanfare.secretVariable" (dict "root" $ "variable" "OTEL_EXPORTER_OTLP_HEADERS" "reference" .headers) }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: {{ with get .env "OTEL_RESOURCE_ATTRIBUTES" }}{{ . }},{{ end }}k8s.namespace.name=$(K8S_NAMESPACE_NAME),k8s.pod.name=$(K8S_POD_NAME),k8s.node.name=$(K8S_NODE_NAME)
{{- end }}
{{- range $name := keys .env | sortAlpha }}
{{- if not (and (eq $name "OTEL_RESOURCE_ATTRIBUTES") $.Values.otel.endpoint) }}
- name: {{ $name }}
  value: {{ get $.Values.otel.env $name | include "fanfare.text" | quote }}
{{- end }}
{{- end }}
{{- end -}}
{{- end -}}
