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
	writes, err := c.Writes(ctx)
	return writes["pods"], err
}

// Writes is how many writes the API server has answered so far, by resource and by its own count.
func (c *Cluster) Writes(ctx context.Context) (map[string]float64, error) {
	data, err := c.Client.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the API server's metrics: %w", err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("parse the API server's metrics: %w", err)
	}
	writes := map[string]float64{}
	for _, m := range families["apiserver_request_total"].GetMetric() {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		switch labels["verb"] {
		case "PATCH", "PUT", "POST", "DELETE", "DELETECOLLECTION":
			writes[labels["resource"]] += m.GetCounter().GetValue()
		}
	}
	return writes, nil
}
