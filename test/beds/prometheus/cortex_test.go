//go:build beds

package prometheus

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/enawatch/enawatch/agent/sink/remotewrite"
)

const cortexConfig = `
target: all
auth_enabled: true
server: {http_listen_address: 127.0.0.1, http_listen_port: 9009, grpc_listen_address: 127.0.0.1, grpc_listen_port: 9095, log_level: warn}
distributor: {ring: {kvstore: {store: inmemory}, instance_addr: 127.0.0.1}}
ingester: {lifecycler: {address: 127.0.0.1, min_ready_duration: 0s, join_after: 0s, ring: {kvstore: {store: inmemory}, replication_factor: 1}}}
storage: {engine: blocks}
blocks_storage:
  backend: filesystem
  filesystem: {dir: DIR/blocks}
  tsdb: {dir: DIR/tsdb}
  bucket_store: {sync_dir: DIR/sync}
ruler: {rule_path: DIR/ruler}
ruler_storage: {backend: local, local: {directory: DIR/rules}}
alertmanager: {external_url: "http://127.0.0.1:9009/alertmanager", data_dir: DIR/alertmanager, cluster: {listen_address: ""}}
alertmanager_storage: {backend: local, local: {path: DIR/alerts}}
compactor: {data_dir: DIR/compactor, sharding_ring: {kvstore: {store: inmemory}}}
frontend_worker: {match_max_concurrent: true}
querier: {active_query_tracker_dir: DIR/active}
`

// cortex pushes a minute of drops to Cortex, which takes remote write 1.0 only,
// and asks it back.
func cortex(e errand, found checks) {
	began := time.Now()
	config := filepath.Join(e.Dir, "cortex.yml")
	must(os.WriteFile(config, []byte(strings.ReplaceAll(cortexConfig, "DIR", e.Dir)), 0o644))
	for _, dir := range []string{"rules", "alerts"} {
		must(os.Mkdir(filepath.Join(e.Dir, dir), 0o755))
	}
	c := start(filepath.Join(e.Tools, "cortex"), "-config.file="+config)
	defer stop(c)
	ready("http://127.0.0.1:9009/ready")
	const target = "http://127.0.0.1:9009/api/v1/push"
	agent := startAgent(e, "agent", "--sinks.prometheus.listen=127.0.0.1:9109", "--sinks.remote-write.url="+target,
		"--sinks.remote-write.headers=X-Scope-OrgID=bed", "--sinks.remote-write.interval=1s")

	other := remotewrite.Options{URL: target, Headers: map[string]string{"X-Scope-OrgID": "other"}}
	found["refusals"] = refusals(other)
	found["too old"] = []string{}
	if got := push(other, host("old", time.Now().Add(-3*time.Hour), 4, "ens5")); got.tooOld != ofHost+ofInterface {
		found["too old"] = append(found["too old"], fmt.Sprintf("%+v", got))
	}
	found["no tenant"] = []string{}
	if got := push(remotewrite.Options{URL: target}, host("nobody", time.Now(), 4, "ens5")); got.accepted > 0 || got.kept != 1 || got.requests["credentials"] == 0 {
		found["no tenant"] = append(found["no tenant"], fmt.Sprintf("%+v", got))
	}
	until(began.Add(90 * time.Second))
	found["protocol"] = speaks("http://127.0.0.1:9109/metrics", 1)
	missed := missedTicks("http://127.0.0.1:9109/metrics")
	stop(agent)
	ended := time.Now()
	s := server{"http://127.0.0.1:9009/prometheus", http.Header{"X-Scope-Orgid": {"bed"}}}
	found["conservation"] = grown(s, began, ended, `node_net_ethtool{device="ens5",type=%q}`, time.Second, missed)
	found["metadata"] = []string{}
	page, err := get(context.Background(), s.address+"/api/v1/metadata", s.header)
	if err != nil || !strings.Contains(string(page), `"node_net_ethtool":[{"type":"gauge","help":"Ethtool data"`) {
		found["metadata"] = append(found["metadata"], fmt.Sprintf("%s, %v", page, err))
	}
	found["metadata"] = slices.Clip(found["metadata"])
}
