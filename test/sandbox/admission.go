package sandbox

import (
	"fmt"
	"os"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// ClientCA is the file, beside Epitaph's serving certificate, of the authority that signs nothing
// but the certificate which the API server shows to webhooks.
const ClientCA = "apiserver-ca.crt"

// ClientAuthority is the path of the file with the authority that signs the certificate which the
// API server shows to webhooks.
func (s *Sandbox) ClientAuthority() string { return s.path("pki", ClientCA) }

// writeAdmissionIdentity gives the API server a certificate to show to every webhook that asks for
// one, as the documentation of admission webhooks ("Authenticate API servers") has it.
func (s *Sandbox) writeAdmissionIdentity() error {
	authority, err := newAuthority()
	if err != nil {
		return err
	}
	credential, err := authority.client("kube-apiserver")
	if err != nil {
		return err
	}
	identity := clientcmdapi.NewConfig()
	identity.AuthInfos["*"] = &clientcmdapi.AuthInfo{ClientCertificateData: credential.certificate,
		ClientKeyData: credential.key}
	if err := clientcmd.WriteToFile(*identity, s.path("kubeconfigs", "admission")); err != nil {
		return fmt.Errorf("write the identity of the API server: %w", err)
	}
	if err := os.WriteFile(s.path("pki", ClientCA), authority.pem, 0o644); err != nil {
		return fmt.Errorf("write the authority of the API server's identity: %w", err)
	}
	file := fmt.Appendf(nil, admissionConfiguration, s.path("kubeconfigs", "admission"))
	if s.options.LimitCriticalPods {
		file = append(file, limitedCriticalPods...)
	}
	if err := os.WriteFile(s.path("admission.yaml"), file, 0o644); err != nil {
		return fmt.Errorf("write the configuration of admission: %w", err)
	}
	return nil
}

// admissionConfiguration names the kubeconfig with the API server's identity.
const admissionConfiguration = `apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: MutatingAdmissionWebhook
  configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration, kubeConfigFile: %q}
`

// limitedCriticalPods is what the documentation of quotas has under "Limit Priority Class
// consumption by default".
const limitedCriticalPods = `- name: ResourceQuota
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: ResourceQuotaConfiguration
    limitedResources:
    - resource: pods
      matchScopes:
      - {scopeName: PriorityClass, operator: In, values: [system-node-critical, system-cluster-critical]}
`
