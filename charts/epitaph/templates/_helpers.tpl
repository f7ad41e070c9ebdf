{{- define "epitaph.labels" -}}
{{ include "epitaph.labelsWith" (dict "root" . "selector" "epitaph.selector" "more" (dict)) }}
{{- end }}

{{/* The labels of an object: those that the chart selects by, and, where they do not take the place of one of its own, what the values
want on this object and on all. */}}
{{- define "epitaph.labelsWith" -}}
{{ include .selector .root }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with include "epitaph.besides" (merge (dict) .more .root.Values.commonLabels) | fromYaml }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "epitaph.besides" -}}
{{ omit . "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" | toYaml }}
{{- end }}

{{- define "epitaph.selector" -}}
app.kubernetes.io/name: epitaph
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: manager
{{- end }}

{{- define "epitaph.agentLabels" -}}
{{ include "epitaph.labelsWith" (dict "root" . "selector" "epitaph.agentSelector" "more" (dict)) }}
{{- end }}

{{/* The objects of a file, in the release's namespace and with its labels. Lists can be given in the place of a policy's variables, and
annotations for the service account. */}}
{{- define "epitaph.objects" -}}
{{- $labels := fromYaml .labels }}
{{- $variables := default (dict) .variables }}
{{- range splitList "\n---\n" (replace "epitaph-system" .root.Release.Namespace (.root.Files.Get .file)) }}
{{- $object := fromYaml . }}
{{- $_ := set $object.metadata "labels" (merge (dict) (default (dict) $object.metadata.labels) $labels) }}
{{- if and (eq $object.kind "ServiceAccount") $.account.annotations }}{{ $_ := set $object.metadata "annotations" $.account.annotations }}{{ end }}
{{- range $v := dig "spec" "variables" (list) $object }}
{{- with index $variables $v.name }}{{ $_ := set $v "expression" (toJson .) }}{{ end }}
{{- end }}
---
{{ toYaml $object }}
{{- end }}
{{- end }}

{{- define "epitaph.agentSelector" -}}
app.kubernetes.io/name: epitaph
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: agent
{{- end }}

{{- define "epitaph.archiveSelector" -}}
app.kubernetes.io/name: epitaph
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: archive
{{- end }}

{{- define "epitaph.archiveLabels" -}}
{{ include "epitaph.labelsWith" (dict "root" . "selector" "epitaph.archiveSelector" "more" (dict)) }}
{{- end }}

{{- define "epitaph.cloudSelector" -}}
app.kubernetes.io/name: epitaph
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: cloud
{{- end }}

{{- define "epitaph.cloudLabels" -}}
{{ include "epitaph.labelsWith" (dict "root" . "selector" "epitaph.cloudSelector" "more" (dict)) }}
{{- end }}

{{- define "epitaph.testLabels" -}}
app.kubernetes.io/name: epitaph
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "epitaph.definitionsLabels" -}}
app.kubernetes.io/name: epitaph
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: definitions
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "epitaph.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* The arguments of a program: those of every one, and what the values add. */}}
{{- define "epitaph.args" -}}
{{- range concat (list .program "--config=/etc/epitaph/config.yaml" (printf "-v=%d" (int .root.Values.logLevel))) .of.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{/* Where the pods of a workload may run, as its values say. A spread that names no pods is one of its own. */}}
{{- define "epitaph.placement" -}}
{{- range $key := list "nodeSelector" "tolerations" "affinity" }}
{{- with index $.of $key }}
{{ $key }}: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .of.topologySpreadConstraints }}
topologySpreadConstraints:
{{- range . }}
  - {{- merge (dict) . (dict "labelSelector" (dict "matchLabels" (include $.selector $.root | fromYaml))) | toYaml | nindent 4 }}
{{- end }}
{{- end }}
{{- end }}

{{/* A hash of those sections of the configuration that a program reads: when it changes, and not otherwise, its pods are replaced. The
policy is left out: the manager follows it while it runs (webhook/policyfile). */}}
{{- define "epitaph.checksum" -}}
{{- $c := include "epitaph.config" .root | fromYaml }}
{{- $_ := set $c "webhook" (omit $c.webhook "mode" "rules" "neverDeniedNamespaces") }}
{{- if not .receivers }}{{ $_ := set $c "archive" (omit $c.archive "receivers") }}{{ end }}
{{- $read := dict }}
{{- range .sections }}{{ $_ := set $read . (index $c .) }}{{ end }}
{{- toYaml $read | sha256sum }}
{{- end }}

{{/* Where the certificate comes from: whoever names an issuer or a Secret need not set the mode as well. */}}
{{- define "epitaph.certificateMode" -}}
{{- $c := .Values.certificates }}
{{- if ne $c.mode "cert-manager" }}{{ $c.mode }}
{{- else if $c.issuer.name }}issuer
{{- else if $c.secret }}secret
{{- else }}cert-manager{{ end }}
{{- end }}

{{/* The Secret with the serving certificate. Helm's own has a name of its own: that of cert-manager outlives the release, and Helm
would refuse to take it over. */}}
{{- define "epitaph.tlsSecret" -}}
{{- $mode := include "epitaph.certificateMode" . -}}
{{ if eq $mode "secret" }}{{ required "certificates.mode is secret: name the Secret in certificates.secret" .Values.certificates.secret }}
{{- else if eq $mode "helm" }}epitaph-webhook-helm
{{- else }}epitaph-webhook-tls{{ end }}
{{- end }}

{{/* Whether the webhook tells the API server from others: a projection of the certificates that may sign its own, else nothing. */}}
{{- define "epitaph.clientCA" -}}
{{- $c := .Values.webhookClients }}
{{- if gt (len (compact (list $c.ca $c.configMap $c.secret))) 1 }}{{ fail "webhookClients has more than one of ca, configMap and secret: leave one" }}{{ end }}
{{- $items := list (dict "key" $c.key "path" "apiserver-ca.crt") }}
{{- if not .Values.config.webhook.enabled }}
{{- else if $c.ca }}{{ dict "configMap" (dict "name" "epitaph-webhook-clients" "items" (list (dict "key" "ca.crt" "path" "apiserver-ca.crt"))) | toJson }}
{{- else if $c.configMap }}{{ dict "configMap" (dict "name" $c.configMap "items" $items) | toJson }}
{{- else if $c.secret }}{{ dict "secret" (dict "name" $c.secret "items" $items) | toJson }}
{{- else if $c.names }}{{ fail "webhookClients.names is set, but no authority: set webhookClients.ca, configMap or secret" }}{{ end }}
{{- end }}

{{/* The program's whole configuration: what the values say of it, and what the chart knows. */}}
{{- define "epitaph.config" -}}
{{- $c := deepCopy .Values.config }}
{{- $_ := set $c "apiVersion" "config.epitaph-k8s.io/v1alpha1" }}
{{- $_ := set $c "kind" "Configuration" }}
{{- $_ := set $c "namespace" .Release.Namespace }}
{{- $_ := set $c.webhook "address" (printf ":%d" (int .Values.ports.webhook)) }}
{{- $_ := set $c.webhook "certDir" "/var/run/epitaph/tls" }}
{{- if .Values.backstop.enabled }}{{ $_ := set $c.webhook "writeFirst" true }}{{ end }}
{{- if include "epitaph.clientCA" . }}
{{- $_ := set $c.webhook "clientCA" "apiserver-ca.crt" }}
{{- with .Values.webhookClients.names }}{{ $_ := set $c.webhook "clientNames" . }}{{ end }}
{{- end }}
{{- $mode := include "epitaph.certificateMode" . }}
{{- if eq $mode "cert-manager" }}{{ $_ := set $c.webhook "certificates" (list "epitaph-webhook" "epitaph-ca") }}
{{- else if eq $mode "issuer" }}{{ $_ := set $c.webhook "certificates" (list "epitaph-webhook") }}
{{- else if eq $mode "helm" }}{{ $_ := set $c.webhook "renewedSecret" (include "epitaph.tlsSecret" .) }}{{ end }}
{{- $_ := set $c.netconsole "address" (printf ":%d" (int .Values.ports.netconsole)) }}
{{- $_ := set $c.page "address" (printf ":%d" (int .Values.ports.page)) }}
{{- $_ := set $c.page "certDir" "/var/run/epitaph/tls" }}
{{- $_ := set $c.archive "dsnFile" (printf "/var/run/epitaph/archive/%s" .Values.archive.dsn.key) }}
{{- $_ := set $c.archive "path" "/var/lib/epitaph/archive/archive.db" }}
{{- $_ := set $c.archive "address" ":8446" }}
{{- $_ := set $c.archive "certDir" "/var/run/epitaph/archive-tls" }}
{{- $_ := set $c.archive "receiversDir" "/var/run/epitaph/receivers" }}
{{- $_ := set $c.archive "healthAddress" ":8082" }}
{{- $_ := set $c.archive "metricsAddress" ":8083" }}
{{- $_ := set $c.agent "service" "epitaph-netconsole" }}
{{- $_ := set $c.agent "configfs" "/host/sys/kernel/config" }}
{{- if $c.agent.clearPanicTimeout }}{{ $_ := set $c.agent "procSys" "/host/proc/sys" }}{{ end }}
{{- if $c.agent.lastBoot.enabled }}
{{- $_ := set $c.agent.lastBoot "state" "/host/var/lib/epitaph" }}
{{- $_ := set $c.agent.lastBoot "pstore" "/host/sys/fs/pstore" }}
{{- $_ := set $c.agent.lastBoot "systemdPstore" "/host/var/lib/systemd/pstore" }}
{{- $_ := set $c.agent.lastBoot "kdump" "/host/var/crash" }}
{{- $_ := set $c.agent.lastBoot "firmware" "/host/sys/firmware" }}
{{- end }}
{{- if $c.agent.shutdown.enabled }}{{ $_ := set $c.agent.shutdown "systemBus" "/host/run/dbus/system_bus_socket" }}{{ end }}
{{- $_ := set $c.agent "metricsAddress" (printf ":%d" (int .Values.ports.agent)) }}
{{- $_ := set $c.metrics "address" (printf ":%d" (int .Values.ports.metrics)) }}
{{- $_ := set $c.metrics "certDir" "/var/run/epitaph/tls" }}
{{- $_ := set $c "healthAddress" (printf ":%d" (int .Values.ports.health)) }}
{{- toYaml $c }}
{{- end }}
