package realnode

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/epitaph-k8s/epitaph/test/binaries"
)

// The images of the tests' own. No registry has such names, so pods that use them have to say
// imagePullPolicy: Never.
const (
	PauseImage  = "node.test/pause:1"
	WorkerImage = "node.test/worker:1"
	// documentedImage is what README's commands run: the same program under that name, since nothing
	// is pulled from there.
	documentedImage = "registry.k8s.io/pause:3.10"
	// WorkerPath is the program of both, in the containers.
	WorkerPath = "/" + workerName
)

const workerName = "worker"

// worker is the program of both.
const worker = "test/realnode/worker"

// An object of an image is named by its digest.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// writeImages builds the images of the tests' own into a folder.
func writeImages(ctx context.Context, dir string) (archives []string, err error) {
	program := filepath.Join(dir, "worker")
	if err := binaries.Static(ctx, worker, program); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	for name, file := range map[string]string{PauseImage: "pause.oci.tar",
		WorkerImage:     "worker.oci.tar",
		documentedImage: "documented.oci.tar"} {
		archive, err := pack(name, workerName, content)
		if err != nil {
			return nil, err
		}
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, archive, 0o644); err != nil {
			return nil, err
		}
		archives = append(archives, path)
	}
	return archives, nil
}

// pack makes an OCI archive of an image that holds one program, for this machine's platform. The
// annotation is by which containerd names what it imports (containerd's
// images.AnnotationImageName).
func pack(name, program string, content []byte) ([]byte, error) {
	layer, err := tarOf(map[string][]byte{program: content}, 0o755)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	add := func(kind string, object []byte) descriptor {
		sum := sha256.Sum256(object)
		d := hex.EncodeToString(sum[:])
		files["blobs/sha256/"+d] = object
		return descriptor{MediaType: "application/vnd.oci.image." + kind, Digest: "sha256:" + d,
			Size: len(object)}
	}
	packed := add("layer.v1.tar", layer)
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": []string{"/" + program}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{packed.Digest}},
	})
	if err != nil {
		return nil, fmt.Errorf("encode the image %s: %w", name, err)
	}
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": add("config.v1+json", config), "layers": []descriptor{packed},
	})
	if err != nil {
		return nil, fmt.Errorf("encode the image %s: %w", name, err)
	}
	named := add("manifest.v1+json", manifest)
	named.Annotations = map[string]string{"io.containerd.image.name": name}
	if files["index.json"], err = json.Marshal(
		map[string]any{"schemaVersion": 2, "manifests": []descriptor{named}}); err != nil {
		return nil, fmt.Errorf("encode the image %s: %w", name, err)
	}
	return tarOf(files, 0o644)
}

func tarOf(files map[string][]byte, mode int64) ([]byte, error) {
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode,
			Size: int64(len(content))}); err != nil {
			return nil, fmt.Errorf("pack %s: %w", name, err)
		}
		if _, err := w.Write(content); err != nil {
			return nil, fmt.Errorf("pack %s: %w", name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return packed.Bytes(), nil
}
