{{- define "enawatch.name" -}}
{{- if contains "enawatch" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-enawatch" (.Release.Name | trunc 43 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "enawatch.selector" -}}
app.kubernetes.io/name: enawatch
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "enawatch.labels" -}}
{{ include "enawatch.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "enawatch.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (ternary (include "enawatch.name" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "enawatch.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "enawatch.port" -}}
{{ regexFind "[0-9]+$" .Values.metrics.listen }}
{{- end }}

{{- define "enawatch.user" -}}
{{ ternary 0 .Values.runAsUser .Values.linklocal.enabled }}
{{- end }}

{{- define "enawatch.locked" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "enawatch.probe" -}}
httpGet:
  port: metrics
  {{- if hasPrefix "127.0.0.1:" .Values.metrics.listen }}
  host: 127.0.0.1
  {{- end }}
{{- end }}
