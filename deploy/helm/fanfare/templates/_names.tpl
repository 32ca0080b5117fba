{{/* Names and labels. */}}

{{- define "fanfare.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Short enough for the longest suffix that is put behind it. */}}
{{- define "fanfare.fullname" -}}
{{- $name := include "fanfare.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selectors say. They can't be changed, so nothing in here changes with a release. */}}
{{- define "fanfare.selector" -}}
app.kubernetes.io/name: {{ include "fanfare.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "fanfare.labels" -}}
{{- $own := fromYaml (include "fanfare.selector" .) -}}
{{- $_ := set $own "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "fanfare" -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- toYaml (merge $own .root.Values.commonLabels) -}}
{{- end -}}

{{/* Of a pod: a new version of the chart alone is no reason to replace it. */}}
{{- define "fanfare.podLabels" -}}
{{- toYaml (merge (omit (fromYaml (include "fanfare.labels" .)) "helm.sh/chart" "app.kubernetes.io/managed-by") .more) -}}
{{- end -}}

{{- define "fanfare.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "fanfare.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The hook's own: it runs before anything else of the chart is there. */}}
{{- define "fanfare.migrateServiceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- printf "%s-migrate" (include "fanfare.fullname" .) -}}
{{- else -}}
{{- include "fanfare.serviceAccount" . -}}
{{- end -}}
{{- end -}}

{{- define "fanfare.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The name under which Kubernetes tells the API's address to pods that ask for it. */}}
{{- define "fanfare.apiAddressVariable" -}}
{{- printf "%s-api" (include "fanfare.fullname" .) | upper | replace "-" "_" | replace "." "_" -}}_SERVICE_HOST
{{- end -}}
