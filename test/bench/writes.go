package bench

import (
	"bytes"
	"context"
	"fmt"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// PodWrites is how many writes to pods the API server has answered so far, by its own count.
func (c *Cluster) PodWrites(ctx context.Context) (float64, error) {
	data, err := c.Client.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the API server's metrics: %w", err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(data))
	if err != nil {
		return 0, fmt.Errorf("parse the API server's metrics: %w", err)
	}
	sum := 0.0
	for _, m := range families["apiserver_request_total"].GetMetric() {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		switch labels["verb"] {
		case "PATCH", "PUT", "POST", "DELETE", "DELETECOLLECTION":
			if labels["resource"] == "pods" {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum, nil
}
