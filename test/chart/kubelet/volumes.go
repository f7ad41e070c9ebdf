package kubelet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
)

// A volume is a ConfigMap, a Secret or a claim that the container sees as a folder. It is below the
// container's root, at the path at which it is mounted.
type volume struct {
	source    corev1.VolumeSource
	mountPath string
	dir       string
	shown     map[string][]byte
}

type volumes []*volume

// mounted are the volumes of the pod's container that hold ConfigMaps, Secrets and claims.
func mounted(root string, pod *corev1.Pod) (all volumes) {
	paths := map[string]string{}
	for _, m := range pod.Spec.Containers[0].VolumeMounts {
		paths[m.Name] = m.MountPath
	}
	for _, v := range pod.Spec.Volumes {
		if path := paths[v.Name]; path != "" && (v.ConfigMap != nil || v.Secret != nil ||
			v.PersistentVolumeClaim != nil) {
			all = append(all, &volume{source: v.VolumeSource, mountPath: path,
				dir: filepath.Join(root, path)})
		}
	}
	return all
}

// project brings the folders up to date.
func (vs volumes) project(ctx context.Context, client kubernetes.Interface, namespace string,
	localise func(string) string) error {
	for _, v := range vs {
		if v.source.PersistentVolumeClaim != nil {
			if err := v.attach(ctx, client, namespace); err != nil {
				return err
			}
			continue
		}
		files, err := v.read(ctx, client, namespace)
		if err != nil {
			return err
		}
		if v.source.ConfigMap != nil {
			for name, content := range files {
				files[name] = []byte(localise(string(content)))
			}
		}
		if v.shown != nil && maps.EqualFunc(v.shown, files, bytes.Equal) {
			continue
		}
		if err := show(v.dir, files); err != nil {
			return fmt.Errorf("project the volume at %s: %w", v.mountPath, err)
		}
		v.shown = files
	}
	return nil
}

func (v *volume) read(ctx context.Context, client kubernetes.Interface,
	namespace string) (map[string][]byte, error) {
	if v.source.Secret != nil {
		secret, err := client.CoreV1().Secrets(namespace).Get(ctx, v.source.Secret.SecretName,
			metav1.GetOptions{})
		if apierrors.IsNotFound(err) && ptr.Deref(v.source.Secret.Optional, false) {
			return map[string][]byte{}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("mount a Secret: %w", err)
		}
		return secret.Data, nil
	}
	object, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, v.source.ConfigMap.Name,
		metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("mount a ConfigMap: %w", err)
	}
	files := map[string][]byte{}
	for name, content := range object.Data {
		files[name] = []byte(content)
	}
	return files, nil
}

// attach links the folder of the machine that a claim is bound to.
func (v *volume) attach(ctx context.Context, client kubernetes.Interface, namespace string) error {
	claim, err := client.CoreV1().PersistentVolumeClaims(namespace).Get(ctx,
		v.source.PersistentVolumeClaim.ClaimName, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("mount a claim: %w", err)
	}
	bound, err := client.CoreV1().PersistentVolumes().Get(ctx, claim.Spec.VolumeName,
		metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("mount a claim: %w", err)
	}
	if bound.Spec.HostPath == nil {
		return fmt.Errorf("mount a claim: volume %s is no folder of the machine", bound.Name)
	}
	for _, dir := range []string{bound.Spec.HostPath.Path, filepath.Dir(v.dir)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if err := os.Symlink(bound.Spec.HostPath.Path, v.dir); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// show replaces all files of a folder at once, as a kubelet does
// (k8s.io/kubernetes/pkg/volume/util/atomic_writer.go): they are links through the link "..data",
// which is renamed.
func show(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	data := filepath.Join(dir, "..data")
	old, err := os.Readlink(data)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	young, err := os.MkdirTemp(dir, "..version-")
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(young, name), content, 0o600); err != nil {
			return err
		}
	}
	if err := os.Symlink(filepath.Base(young), data+"_tmp"); err != nil {
		return err
	}
	if err := os.Rename(data+"_tmp", data); err != nil {
		return err
	}
	for name := range files {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil &&
			!errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if old == "" {
		return nil
	}
	return os.RemoveAll(filepath.Join(dir, old))
}

// anyHost matches the addresses of a configuration that name no host.
var anyHost = regexp.MustCompile(`(?m)([aA]ddress: )["']?:(\d+)["']?$`)

// localise puts what is true on this machine in the place of what would be true in the container: a
// setting names a folder that is mounted, what is in it, or the folder that several are mounted in.
func (w *worker) localise(text string) string {
	var paths []string
	for _, v := range w.volumes {
		paths = append(paths, v.mountPath)
		if above := filepath.Dir(v.mountPath); strings.Count(above, "/") >= minDepth {
			paths = append(paths, above)
		}
	}
	slices.SortFunc(paths, func(a, b string) int { return len(b) - len(a) })
	replaced := make([]string, 0, 2*len(paths))
	for _, path := range paths {
		replaced = append(replaced, path, filepath.Join(w.root(), path))
	}
	text = strings.NewReplacer(replaced...).Replace(text)
	return anyHost.ReplaceAllString(text, "${1}"+w.address.String()+":${2}")
}

// minDepth keeps what belongs to the whole machine, such as /var/run, from being a folder of the
// container.
const minDepth = 3
