package main

import (
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/epitaph-k8s/epitaph/config"
)

// values are the chart's, with their types and bounds; what each does, and its default, is in
// values.yaml. Those of config are the program's own.
type values struct {
	Image               image               `json:"image"`
	ImagePullSecrets    []object            `json:"imagePullSecrets"`
	CommonLabels        object              `json:"commonLabels"`
	Replicas            int                 `json:"replicas" validate:"min=1"`
	PodDisruptionBudget podDisruptionBudget `json:"podDisruptionBudget"`
	PriorityClassName   string              `json:"priorityClassName"`
	CriticalPodsQuota   criticalPodsQuota   `json:"criticalPodsQuota"`
	Resources           object              `json:"resources"`
	NodeSelector        object              `json:"nodeSelector"`
	Tolerations         []object            `json:"tolerations"`
	Affinity            object              `json:"affinity"`
	PodLabels           object              `json:"podLabels"`
	PodAnnotations      object              `json:"podAnnotations"`
	LogLevel            int                 `json:"logLevel" validate:"min=0"`

	Strategy                  object   `json:"strategy"`
	TopologySpreadConstraints []object `json:"topologySpreadConstraints"`
	workload

	Ports                ports                `json:"ports"`
	Certificates         certificates         `json:"certificates"`
	WebhookClients       webhookClients       `json:"webhookClients"`
	WebhookConfiguration webhookConfiguration `json:"webhookConfiguration"`
	Config               config.Config        `json:"config"`
	Agent                agent                `json:"agent"`
	CRDs                 crds                 `json:"crds"`
	Backstop             backstop             `json:"backstop"`
	NetworkPolicy        networkPolicy        `json:"networkPolicy"`
	Page                 pageHost             `json:"page"`
	Archive              archive              `json:"archive"`
	Cloud                cloud                `json:"cloud"`
	ServiceMonitor       serviceMonitor       `json:"serviceMonitor"`
	PrometheusRule       labelled             `json:"prometheusRule"`
	GrafanaDashboard     labelled             `json:"grafanaDashboard"`
}

// An object is one of Kubernetes', which the API server checks.
type object map[string]any

// A workload is what the values of the manager, the agent, the archive and what asks the clouds have
// in common.
type workload struct {
	ServiceAccount struct {
		Annotations object `json:"annotations"`
	} `json:"serviceAccount"`
	RevisionHistoryLimit int      `json:"revisionHistoryLimit" validate:"min=0"`
	ExtraArgs            []string `json:"extraArgs" validate:"dive,required"`
	ExtraEnv             []object `json:"extraEnv"`
	ExtraVolumes         []object `json:"extraVolumes"`
	ExtraVolumeMounts    []object `json:"extraVolumeMounts"`
}

type crds struct {
	Upgrade bool `json:"upgrade"`
}

type image struct {
	Repository string `json:"repository"`
	Tag        string `json:"tag"`
	Digest     string `json:"digest" pattern:"^(sha256:[0-9a-f]{64})?$"`
	PullPolicy string `json:"pullPolicy" validate:"oneof=Always IfNotPresent Never"`
}

type archive struct {
	Replicas int `json:"replicas" validate:"min=1"`
	DSN      struct {
		Secret string `json:"secret"`
		Key    string `json:"key"`
	} `json:"dsn"`
	API struct {
		URL                string `json:"url"`
		CABundle           string `json:"caBundle"`
		Secret             string `json:"secret"`
		ServiceType        string `json:"serviceType" validate:"oneof=ClusterIP NodePort LoadBalancer"`
		ServiceAnnotations object `json:"serviceAnnotations"`
	} `json:"api"`
	Volume struct {
		Size             string `json:"size"`
		StorageClassName string `json:"storageClassName"`
	} `json:"volume"`
	Resources                 object   `json:"resources"`
	NodeSelector              object   `json:"nodeSelector"`
	Tolerations               []object `json:"tolerations"`
	Affinity                  object   `json:"affinity"`
	TopologySpreadConstraints []object `json:"topologySpreadConstraints"`
	PodLabels                 object   `json:"podLabels"`
	PodAnnotations            object   `json:"podAnnotations"`
	Strategy                  object   `json:"strategy"`
	workload
}

type cloud struct {
	Enabled bool     `json:"enabled"`
	Ask     []string `json:"ask" validate:"dive,oneof=aws azure gcp"`
	Image   struct {
		Repository string `json:"repository"`
		Tag        string `json:"tag"`
		Digest     string `json:"digest" pattern:"^(sha256:[0-9a-f]{64})?$"`
	} `json:"image"`
	Replicas                  int      `json:"replicas" validate:"min=1"`
	Resources                 object   `json:"resources"`
	NodeSelector              object   `json:"nodeSelector"`
	Tolerations               []object `json:"tolerations"`
	Affinity                  object   `json:"affinity"`
	TopologySpreadConstraints []object `json:"topologySpreadConstraints"`
	PodLabels                 object   `json:"podLabels"`
	PodAnnotations            object   `json:"podAnnotations"`
	Strategy                  object   `json:"strategy"`
	workload
}

type podDisruptionBudget struct {
	MaxUnavailable intstr.IntOrString `json:"maxUnavailable"`
}

type criticalPodsQuota struct {
	Enabled bool `json:"enabled"`
	Pods    int  `json:"pods" validate:"min=1"`
}

// ports are above 1023: the pods have no right to others.
type ports struct {
	Webhook    int `json:"webhook" validate:"min=1024,max=65535"`
	Metrics    int `json:"metrics" validate:"min=1024,max=65535"`
	Health     int `json:"health" validate:"min=1024,max=65535"`
	Netconsole int `json:"netconsole" validate:"min=1024,max=65535"`
	Page       int `json:"page" validate:"min=1024,max=65535"`
	Agent      int `json:"agent" validate:"min=1024,max=65535"`
}

type certificates struct {
	Mode     string `json:"mode" validate:"oneof=cert-manager issuer secret helm"`
	Issuer   issuer `json:"issuer"`
	Secret   string `json:"secret"`
	CABundle string `json:"caBundle"`
}

type issuer struct {
	Kind  string `json:"kind" validate:"oneof=Issuer ClusterIssuer"`
	Name  string `json:"name"`
	Group string `json:"group"`
}

type webhookClients struct {
	CA        string   `json:"ca" pattern:"^\\s*(-----BEGIN CERTIFICATE-----|$)"`
	ConfigMap string   `json:"configMap"`
	Secret    string   `json:"secret"`
	Key       string   `json:"key" pattern:"^[-._a-zA-Z0-9]+$"`
	Names     []string `json:"names" validate:"max=16,dive,required,max=64"`
}

type webhookConfiguration struct {
	Labels      object `json:"labels"`
	Annotations object `json:"annotations"`
}

type agent struct {
	Enabled           bool               `json:"enabled"`
	Remove            bool               `json:"remove"`
	Tolerations       []object           `json:"tolerations"`
	NodeSelector      object             `json:"nodeSelector"`
	Affinity          object             `json:"affinity"`
	PriorityClassName string             `json:"priorityClassName"`
	MaxUnavailable    intstr.IntOrString `json:"maxUnavailable"`
	Resources         object             `json:"resources"`
	PodLabels         object             `json:"podLabels"`
	PodAnnotations    object             `json:"podAnnotations"`
	UpdateStrategy    object             `json:"updateStrategy"`
	workload
}

type backstop struct {
	Enabled bool   `json:"enabled"`
	Action  string `json:"action" validate:"oneof=Audit Warn Deny"`
}

type networkPolicy struct {
	Enabled        bool     `json:"enabled"`
	APIServerCIDRs []string `json:"apiServerCIDRs"`
	MetricsFrom    []object `json:"metricsFrom"`
	PageFrom       []object `json:"pageFrom"`
}

type pageHost struct {
	Host               string          `json:"host" pattern:"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$"`
	Certificate        pageCertificate `json:"certificate"`
	ServiceAnnotations object          `json:"serviceAnnotations"`
	Ingress            pageIngress     `json:"ingress"`
	HTTPRoute          pageRoute       `json:"httpRoute"`
}

type pageCertificate struct {
	Secret string `json:"secret" validate:"required"`
	Issuer issuer `json:"issuer"`
}

type pageIngress struct {
	Enabled     bool   `json:"enabled"`
	ClassName   string `json:"className"`
	Annotations object `json:"annotations"`
}

type pageRoute struct {
	Enabled            bool     `json:"enabled"`
	Annotations        object   `json:"annotations"`
	ParentRefs         []object `json:"parentRefs"`
	GatewayClassName   string   `json:"gatewayClassName"`
	GatewayAnnotations object   `json:"gatewayAnnotations"`
	CAConfigMap        string   `json:"caConfigMap"`
}

type serviceMonitor struct {
	Enabled     bool        `json:"enabled"`
	Interval    string      `json:"interval" pattern:"^([0-9.]+(ms|s|m|h))+$"`
	TokenSecret keyOfSecret `json:"tokenSecret"`
	Labels      object      `json:"labels"`
}

type keyOfSecret struct {
	Name string `json:"name"`
	Key  string `json:"key" pattern:"^[-._a-zA-Z0-9]+$"`
}

type labelled struct {
	Enabled bool   `json:"enabled"`
	Labels  object `json:"labels"`
}
