{{/* The pod of a role. (root, role, values; annotations, env, ports, volumes, volumeMounts where it has some) */}}

{{- define "fanfare.podTemplate" -}}
metadata:
  {{- with merge (dict) (default (dict) .annotations) .values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  labels:
    {{- include "fanfare.podLabels" (dict "root" .root "component" .role "more" .values.podLabels) | nindent 4 }}
spec:
  serviceAccountName: {{ include "fanfare.serviceAccount" .root }}
  {{- include "fanfare.podDefaults" .root | nindent 2 }}
  {{- with .values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  # No preStop hook: Fanfare goes on by itself until it is taken out of service, and drains then.
  terminationGracePeriodSeconds: {{ include "fanfare.grace" . }}
  containers:
    - name: {{ .role }}
      args: [{{ .role }}]
      {{- include "fanfare.containerDefaults" .root | nindent 6 }}
      env:
        - name: FANFARE_OBSERVE_LISTEN
          value: {{ printf "%s:9464" .root.Values.listenAddress | quote }}
        {{- with .env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- include "fanfare.secrets" . | trim | nindent 8 }}
        {{- with include "fanfare.settings" (dict "root" .root "config" .values.config) | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- with include "fanfare.telemetry" .root | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- with .values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        {{- with .ports }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        - name: observe
          containerPort: 9464
      {{- include "fanfare.probes" . | nindent 6 }}
      resources:
        {{- toYaml .values.resources | nindent 8 }}
      {{- with concat (default (list) .volumeMounts) .values.extraVolumeMounts }}
      volumeMounts:
        {{- toYaml . | nindent 8 }}
      {{- end }}
  {{- with concat (default (list) .volumes) .values.extraVolumes }}
  volumes:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.topologySpread }}
  topologySpreadConstraints:
    {{- range . }}
    - topologyKey: {{ .topologyKey }}
      maxSkew: {{ .maxSkew | int }}
      whenUnsatisfiable: {{ .whenUnsatisfiable }}
      labelSelector:
        matchLabels:
          {{- include "fanfare.selector" (dict "root" $.root "component" $.role) | nindent 10 }}
      # Of one release at a time, or a roll-out would spread over what is about to go.
      matchLabelKeys: [pod-template-hash]
    {{- end }}
  {{- end }}
  {{- include "fanfare.placement" .values | nindent 2 }}
{{- end -}}

{{/* /healthz is 503 only when the process itself stands still, and has done so for a minute: an outage of
     others, which no restart ends, is /readyz' to tell. It listens once it has seen its database, so a start may
     take as long as that. */}}
{{- define "fanfare.probes" -}}
startupProbe:
  httpGet: { path: /healthz, port: observe }
  periodSeconds: 3
  timeoutSeconds: 3
  failureThreshold: 40
livenessProbe:
  httpGet: { path: /healthz, port: observe }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: { path: /readyz, port: observe }
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 3
{{- end -}}

{{/* What every pod has, those of hooks and tests too. */}}
{{- define "fanfare.podDefaults" -}}
automountServiceAccountToken: false
# Kubernetes would describe services in variables such as FANFARE_API_PORT.
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- with .Values.podSecurity.runAsUser }}
  runAsUser: {{ . | int64 }}
  runAsGroup: {{ . | int64 }}
  fsGroup: {{ . | int64 }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "fanfare.containerDefaults" -}}
image: {{ include "fanfare.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
# The last lines of the log are the reason that `kubectl describe` shows.
terminationMessagePolicy: FallbackToLogsOnError
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{- define "fanfare.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Feeds and large answers lie here: on disk, for in memory they would count against its limit. (role, values) */}}
{{- define "fanfare.tmpVolume" -}}
name: tmp
{{- if .values.tmp.ephemeralVolume.enabled }}
ephemeral:
  volumeClaimTemplate:
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .values.tmp.ephemeralVolume.storageClassName }}
      storageClassName: {{ . }}
      {{- end }}
      resources:
        requests:
          storage: {{ include "fanfare.tmpSize" . | quote }}
{{- else }}
emptyDir:
  sizeLimit: {{ include "fanfare.tmpSize" . | quote }}
{{- end }}
{{- end -}}
