//go:build beds

package kubernetes

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/enawatch/enawatch/test/beds/bed"
)

// TestCollector checks what the operator's schema leaves open: that the ADOT
// collector's pipelines consist of what is configured, that all of it is used, and
// that Prometheus takes its scrape configuration.
func TestCollector(t *testing.T) {
	if os.Getenv(inside) != "" {
		return
	}
	var manifest struct {
		Spec struct {
			Config struct {
				Extensions, Receivers, Processors, Exporters map[string]map[string]any
				Service                                      struct {
					Extensions []string
					Pipelines  map[string]struct{ Receivers, Processors, Exporters []string }
				}
			}
		}
	}
	if err := yaml.Unmarshal(mustRead(t, deploy("eks", "adot", "collector.yaml")), &manifest); err != nil {
		t.Fatal(err)
	}
	config := manifest.Spec.Config
	metrics := config.Service.Pipelines["metrics"]
	for kind, part := range map[string]struct {
		configured map[string]map[string]any
		used       []string
	}{
		"extensions": {config.Extensions, config.Service.Extensions}, "receivers": {config.Receivers, metrics.Receivers},
		"processors": {config.Processors, metrics.Processors}, "exporters": {config.Exporters, metrics.Exporters},
	} {
		var configured []string
		for name := range part.configured {
			configured = append(configured, name)
		}
		slices.Sort(configured)
		slices.Sort(part.used)
		if len(configured) == 0 || !slices.Equal(configured, part.used) {
			t.Errorf("%s %v are configured, %v are used", kind, configured, part.used)
		}
	}
	auth, _ := config.Exporters["prometheusremotewrite"]["auth"].(map[string]any)
	if name, _ := auth["authenticator"].(string); !slices.Contains(config.Service.Extensions, name) {
		t.Errorf("the exporter's authenticator %q is no extension", name)
	}
	// The exporter drops monotonic sums that are deltas (its README).
	if overlay := string(mustRead(t, deploy("eks", "overlays", "adot", "config.yaml"))); !strings.Contains(overlay, "temporality: cumulative") {
		t.Error("deploy/eks/overlays/adot sends deltas")
	}
	scrape, err := yaml.Marshal(config.Receivers["prometheus"]["config"])
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "prometheus.yml")
	if err := os.WriteFile(path, scrape, 0o644); err != nil {
		t.Fatal(err)
	}
	promtool := filepath.Join(bed.Tools(t, "prometheus"), "promtool3")
	if out := bed.Run(t, promtool, "check", "config", path); !strings.Contains(out, "SUCCESS") {
		t.Error(out)
	}
}
