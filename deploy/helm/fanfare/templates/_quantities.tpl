{{/* Numbers and durations, as values and as Fanfare write them. */}}

{{/* Helm reads 8589934592 as a float, which would be written 8.589934592e+09. */}}
{{- define "fanfare.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- printf "%d" (int64 .) -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{/* Whole seconds of a duration such as 1m30s, rounded up. */}}
{{- define "fanfare.seconds" -}}
{{- $ms := 0 -}}
{{- range regexFindAll "[0-9]+(ms|s|m|h|d)" (toString .) -1 -}}
{{- $number := regexFind "[0-9]+" . | int64 -}}
{{- $unit := regexFind "[a-z]+" . -}}
{{- $ms = add $ms (mul $number (get (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000) $unit)) -}}
{{- end -}}
{{- div (add $ms 999) 1000 -}}
{{- end -}}

{{/* How long a pod of this role may take to stop, see "Stopping" in docs/OPERATIONS.md. */}}
{{- define "fanfare.grace" -}}
{{- $config := .values.config -}}
{{- if eq .role "worker" -}}
{{- add (include "fanfare.seconds" (get $config "FANFARE_DRAIN" | default "20s") | int64) 10 -}}
{{- else if eq .role "api" -}}
{{- add (include "fanfare.seconds" (get $config "FANFARE_DRAIN_DELAY" | default "0s") | int64) 15 -}}
{{- else -}}
{{- /* A tick may take 20 s where there is much to claim. */ -}}
30
{{- end -}}
{{- end -}}

{{/* Bytes that the role may have in /tmp: its own bound, and some room beside it. */}}
{{- define "fanfare.tmpSize" -}}
{{- $config := .values.config -}}
{{- $bound := get $config "FANFARE_MAX_SPOOL" | default 8589934592 -}}
{{- if eq .role "api" -}}{{- $bound = get $config "FANFARE_API_MAX_SPOOL" | default 2147483648 -}}{{- end -}}
{{- if .values.tmp.sizeLimit -}}
{{- .values.tmp.sizeLimit -}}
{{- else -}}
{{- add (int64 $bound) 268435456 -}}
{{- end -}}
{{- end -}}
