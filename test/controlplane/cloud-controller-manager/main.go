// Command cloud-controller-manager is the real cloud-controller-manager framework
// (k8s.io/cloud-provider) on a cloud small enough to hold in a folder: an instance exists while the
// folder holds a file of the node's name, and is shut down while that file's first line is
// "stopped". Whoever removes the file takes the instance away; everything that then happens to the
// Node is the framework's own doing.
//
// The folder is named by the file given as --cloud-config: {"instances": "/path/of/the/folder"}.
// "plays": ["aws"] has it be the cloud of Nodes whose provider ID begins with aws://, too.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	cloudprovider "k8s.io/cloud-provider"
	"k8s.io/cloud-provider/app"
	"k8s.io/cloud-provider/app/config"
	"k8s.io/cloud-provider/names"
	"k8s.io/cloud-provider/options"
	"k8s.io/component-base/cli"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/klog/v2"
)

const providerName = "folder"

func main() {
	cloudprovider.RegisterCloudProvider(providerName, newFolderCloud)
	ccmOptions, err := options.NewCloudControllerManagerOptions()
	if err != nil {
		klog.Fatalf("prepare the options: %v", err)
	}
	command := app.NewCloudControllerManagerCommand(ccmOptions, initCloud,
		app.DefaultInitFuncConstructors,
		names.CCMControllerAliases(), cliflag.NamedFlagSets{}, wait.NeverStop)
	os.Exit(cli.Run(command))
}

func initCloud(c *config.CompletedConfig) cloudprovider.Interface {
	shared := c.ComponentConfig.KubeCloudShared.CloudProvider
	cloud, err := cloudprovider.InitCloudProvider(shared.Name, shared.CloudConfigFile)
	if err != nil {
		klog.Fatalf("start the cloud provider: %v", err)
	}
	return cloud
}

// A folderCloud answers for instances that are files of one folder.
type folderCloud struct {
	instances *os.Root
	// providers are those whose instances they are: the word before "://" in a provider ID.
	providers []string
}

func newFolderCloud(file io.Reader) (cloudprovider.Interface, error) {
	if file == nil {
		return nil,
			errors.New("--cloud-config is missing: name a file that holds {\"instances\": FOLDER}")
	}
	var c struct {
		Instances string   `json:"instances"`
		Plays     []string `json:"plays"`
	}
	if err := json.NewDecoder(file).Decode(&c); err != nil {
		return nil, fmt.Errorf("read --cloud-config: %w", err)
	}
	root, err := os.OpenRoot(c.Instances)
	if err != nil {
		return nil, fmt.Errorf("open the folder of instances: %w", err)
	}
	return &folderCloud{instances: root, providers: append(c.Plays, providerName)}, nil
}

// foreign tells of a Node that another provider made, as Karpenter's kwok provider does: this cloud
// has no instance for it, and must not say that it is gone.
func (c *folderCloud) foreign(node *corev1.Node) bool {
	provider, _, _ := strings.Cut(node.Spec.ProviderID, "://")
	return provider != "" && !slices.Contains(c.providers, provider)
}

func (c *folderCloud) InstanceExists(_ context.Context, node *corev1.Node) (bool, error) {
	if c.foreign(node) {
		return true, nil
	}
	_, err := c.instances.Stat(node.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (c *folderCloud) InstanceShutdown(_ context.Context, node *corev1.Node) (bool, error) {
	if c.foreign(node) {
		return false, nil
	}
	state, err := c.instances.ReadFile(node.Name)
	if err != nil {
		return false, fmt.Errorf("read instance %q: %w", node.Name, err)
	}
	first, _, _ := strings.Cut(string(state), "\n")
	return first == "stopped", nil
}

func (c *folderCloud) InstanceMetadata(_ context.Context,
	node *corev1.Node) (*cloudprovider.InstanceMetadata, error) {
	return &cloudprovider.InstanceMetadata{
		ProviderID:    providerName + "://" + node.Name,
		NodeAddresses: node.Status.Addresses,
	}, nil
}

func (c *folderCloud) Initialize(cloudprovider.ControllerClientBuilder, <-chan struct{}) {}
func (c *folderCloud) LoadBalancer() (cloudprovider.LoadBalancer, bool) {
	return nil, false
}
func (c *folderCloud) Instances() (cloudprovider.Instances, bool) {
	return nil, false
}
func (c *folderCloud) InstancesV2() (cloudprovider.InstancesV2, bool) {
	return c, true
}
func (c *folderCloud) Zones() (cloudprovider.Zones, bool) {
	return nil, false
}
func (c *folderCloud) Clusters() (cloudprovider.Clusters, bool) {
	return nil, false
}
func (c *folderCloud) Routes() (cloudprovider.Routes, bool) {
	return nil, false
}
func (c *folderCloud) ProviderName() string {
	return providerName
}
func (c *folderCloud) HasClusterID() bool {
	return true
}
