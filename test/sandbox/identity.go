package sandbox

import (
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// The users that the sandbox's own programs authenticate as. Those of Kubernetes are the names that
// its bootstrap RBAC knows; "kubernetes-admin" is kubeadm's administrator, and ours: a person, not
// a component.
var identities = map[string]struct {
	user   string
	groups []string
}{
	adminIdentity:              {user: "kubernetes-admin", groups: []string{"system:masters"}},
	"kube-controller-manager":  {user: "system:kube-controller-manager"},
	"kube-scheduler":           {user: "system:kube-scheduler"},
	"cloud-controller-manager": {user: "system:cloud-controller-manager"},
	"kwok":                     {user: "sandbox:kwok"},
	certManager:                {user: "sandbox:cert-manager", groups: []string{"system:masters"}},
}

const adminIdentity = "admin"

// connect makes a kubeconfig for each identity, and our own client.
func (s *Sandbox) connect() error {
	if err := os.MkdirAll(s.path("kubeconfigs"), 0o700); err != nil {
		return fmt.Errorf("make the folder of kubeconfigs: %w", err)
	}
	for name, id := range identities {
		credential, err := s.authority.client(id.user, id.groups...)
		if err != nil {
			return err
		}
		auth := &clientcmdapi.AuthInfo{ClientCertificateData: credential.certificate,
			ClientKeyData: credential.key}
		if err := s.writeKubeconfig(s.path("kubeconfigs", name), auth); err != nil {
			return err
		}
	}
	if err := s.writeIssuer(); err != nil {
		return err
	}
	if err := s.writeAdmissionIdentity(); err != nil {
		return err
	}
	s.Kubeconfig = s.path("kubeconfigs", adminIdentity)
	config, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig)
	if err != nil {
		return fmt.Errorf("read our own kubeconfig: %w", err)
	}
	// The API server's own fairness is limit enough.
	config.QPS = -1
	s.config = config
	if s.client, err = kubernetes.NewForConfig(config); err != nil {
		return fmt.Errorf("make our own client: %w", err)
	}
	return nil
}

func (s *Sandbox) writeKubeconfig(path string, auth *clientcmdapi.AuthInfo) error {
	return s.kubeconfigFor(s.server, path, auth)
}

func (s *Sandbox) kubeconfigFor(server, path string, auth *clientcmdapi.AuthInfo) error {
	const name = "sandbox"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: server,
		CertificateAuthorityData: s.authority.pem}
	config.AuthInfos[name] = auth
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	// A program that starts meanwhile must not read half of it.
	whole := path + "." + string(uuid.NewUUID())
	err := clientcmd.WriteToFile(*config, whole)
	if err == nil {
		err = os.Rename(whole, path)
	}
	if err != nil {
		return fmt.Errorf("write the kubeconfig %s: %w", path, err)
	}
	return nil
}

// WriteKubeconfig writes a file with which whoever has the token reaches the API server.
func (s *Sandbox) WriteKubeconfig(path, token string) error {
	return s.writeKubeconfig(path, &clientcmdapi.AuthInfo{Token: token})
}

// RESTConfig is the cluster administrator's.
func (s *Sandbox) RESTConfig() *rest.Config { return rest.CopyConfig(s.config) }

// As is the configuration of somebody else: the administrator impersonates them, and authorization,
// admission and audit see only them. The API server adds the groups that every user, or every
// service account, is in.
func (s *Sandbox) As(user string, groups ...string) *rest.Config {
	config := s.RESTConfig()
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	return config
}
