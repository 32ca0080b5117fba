{{/* Rules of network policies. Each gives a list with one rule. */}}

{{- define "fanfare.egressRule" -}}
- to:
    {{- toYaml .to | nindent 4 }}
  ports:
    {{- range .ports }}
    - { protocol: TCP, port: {{ . | int }} }
    {{- end }}
{{- end -}}

{{- define "fanfare.dnsRule" -}}
{{- with .Values.networkPolicy.dns -}}
- to:
    {{- toYaml .to | nindent 4 }}
  ports:
    {{- range .ports }}
    - { protocol: UDP, port: {{ . | int }} }
    - { protocol: TCP, port: {{ . | int }} }
    {{- end }}
{{- end -}}
{{- end -}}

{{/* The internet, and what of private networks providers may live in. Excepts have to lie in the network
     that they are taken from. */}}
{{- define "fanfare.feedsRule" -}}
{{- $feeds := .Values.networkPolicy.feeds -}}
{{- $v4 := $feeds.exceptV4 -}}
{{- $v6 := $feeds.exceptV6 -}}
{{- range $feeds.alsoExcept -}}
{{- if contains ":" . }}{{ $v6 = append $v6 . }}{{ else }}{{ $v4 = append $v4 . }}{{ end -}}
{{- end -}}
- to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except:
          {{- toYaml $v4 | nindent 10 }}
    - ipBlock:
        cidr: "::/0"
        except:
          {{- toYaml $v6 | nindent 10 }}
    {{- range splitList "," (.Values.worker.config.FANFARE_ALLOW_NETWORKS | default "") }}
    {{- with trim . }}
    - ipBlock:
        cidr: {{ contains "/" . | ternary . (printf "%s/%s" . (contains ":" . | ternary "128" "32")) | quote }}
    {{- end }}
    {{- end }}
  {{- with $feeds.ports }}
  ports:
    {{- range . }}
    - { protocol: TCP, port: {{ . | int }} }
    {{- end }}
  {{- end }}
{{- end -}}

{{/* Probes come from the node, which no policy stops. */}}
{{- define "fanfare.prometheusRule" -}}
- from:
    {{- toYaml .Values.networkPolicy.prometheus.from | nindent 4 }}
  ports:
    - { protocol: TCP, port: observe }
{{- end -}}
