package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"time"
)

// insideVariable makes the test binary a child of the rig, inside its network
// namespace, where it runs several readers side by side. Its value is the path
// of the agent.
const insideVariable = "E2E_INSIDE"

const (
	agentAddress        = "127.0.0.1:9109"
	nodeExporterAddress = "127.0.0.1:9100"
)

// readers is what three programs say of the same devices at the same moment.
type readers struct {
	Agent, NodeExporter, Ethtool string
}

// inside runs agent and node_exporter, asks both and ethtool, and prints what
// they said.
func inside(agent string) {
	// node_exporter ends with the context; the agent is asked to, below.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var programs []*exec.Cmd
	for _, args := range [][]string{
		{agent, "run", "--sinks.prometheus.listen", agentAddress, "--sinks.emf=false", "--log.level", "warn"},
		{"prometheus-node-exporter", "--collector.disable-defaults", "--collector.ethtool",
			"--collector.ethtool.device-include=^ens[0-9]+$", "--web.listen-address=" + nodeExporterAddress, "--log.level=error"},
	} {
		c := exec.CommandContext(ctx, args[0], args[1:]...)
		c.Stderr = os.Stderr
		c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
		must(c.Start())
		programs = append(programs, c)
	}
	await(ctx, "http://"+agentAddress+"/readyz")
	await(ctx, "http://"+nodeExporterAddress+"/metrics")
	var r readers
	r.Agent = await(ctx, "http://"+agentAddress+"/metrics")
	r.NodeExporter = await(ctx, "http://"+nodeExporterAddress+"/metrics")
	out, err := exec.Command("ethtool", "-S", "ens5").Output()
	must(err)
	r.Ethtool = string(out)
	must(json.NewEncoder(os.Stdout).Encode(r))
	cancel()
	for _, c := range programs {
		c.Wait() // they were interrupted: how they end says nothing
	}
}

// await asks until the answer is 200, and returns it.
func await(ctx context.Context, url string) string {
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		must(err)
		if response, err := http.DefaultClient.Do(request); err == nil {
			body, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err == nil && response.StatusCode == http.StatusOK {
				return string(body)
			}
		}
		select {
		case <-ctx.Done():
			must(fmt.Errorf("%s does not answer", url))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
