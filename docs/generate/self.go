package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/enawatch/enawatch/agent"
	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/linklocal"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/simulate"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/emf"
	"github.com/enawatch/enawatch/agent/sink/kubernetes"
	"github.com/enawatch/enawatch/agent/sink/otlp"
	"github.com/enawatch/enawatch/agent/sink/remotewrite"
	"github.com/enawatch/enawatch/agent/window"
)

// selfPrefix is that of the agent's own metrics.
const selfPrefix = "enawatch_"

// selfMetric is a metric about the agent itself.
type selfMetric struct {
	Name, Kind, Meaning string
	Labels              []selfLabel
}

// selfLabel is a label with the values that it was seen with, if there are
// several.
type selfLabel struct {
	Name   string
	Values []string
}

// selfMetrics lists what /metrics shows about an agent that has read a simulated
// interface, and about everything that it can hand windows to.
func selfMetrics() ([]selfMetric, error) {
	log := slog.New(slog.DiscardHandler)
	snapshot, err := agentSnapshot(log)
	if err != nil {
		return nil, err
	}
	queue := sink.NewQueue("emf", func(*metric.Batch) error { return nil }, log)
	queue.Close(context.Background())
	snapshot.Self = append(snapshot.Self, queue.Self()...)
	snapshot.Self = append(snapshot.Self, config.NewReloads(time.Now()).Self()...)
	for _, destination := range []func(*slog.Logger) ([]metric.SelfMetric, error){deliverySelf, cloudWatchSelf, logsSelf, kubernetesSelf, otlpSelf, remoteWriteSelf, linkLocalSelf, conntrackSelf} {
		self, err := destination(log)
		if err != nil {
			return nil, err
		}
		snapshot.Self = append(snapshot.Self, self...)
	}

	families, err := scrape(snapshot)
	if err != nil {
		return nil, err
	}
	var list []selfMetric
	for _, f := range families {
		list = append(list, selfMetric{
			Name: f.GetName(), Kind: strings.ToLower(f.GetType().String()), Meaning: f.GetHelp(), Labels: selfLabels(f),
		})
	}
	return list, nil
}

// selfLabels lists the labels of a family.
func selfLabels(f *dto.MetricFamily) (labels []selfLabel) {
	for _, name := range labelsOf(f.Metric[0]) {
		l := selfLabel{Name: name}
		for _, m := range f.Metric {
			if v := labelValue(m, name); !slices.Contains(l.Values, v) {
				l.Values = append(l.Values, v)
			}
		}
		if len(l.Values) == 1 {
			l.Values = nil
		}
		labels = append(labels, l)
	}
	return labels
}

// agentSnapshot returns the snapshot of an agent after its first window.
func agentSnapshot(log *slog.Logger) (*metric.Snapshot, error) {
	scenario, err := simulate.Load(simulate.Default)
	if err != nil {
		return nil, err
	}
	closed := make(firstWindow, 1)
	a, err := agent.New(agent.Options{
		Kernel: simulate.New(scenario, simulate.SystemClock{}), Clock: window.SystemClock(), Log: log,
		Resource: metric.Resource{Host: "host"}, Sample: time.Second, Publish: time.Second,
		Want: func(metric.Interface) bool { return true }, Queues: func(ena.Stat) bool { return false },
		Store: &agent.Memory{}, Outputs: []agent.Output{closed},
	})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Run(ctx, time.Second)
	}()
	<-closed
	s := a.Snapshot()
	stop()
	<-done
	return s, nil
}

// firstWindow is an output that tells when the first window is closed.
type firstWindow chan struct{}

func (w firstWindow) Publish(*metric.Batch) {
	select {
	case w <- struct{}{}:
	default:
	}
}

// remoteWriteSelf lists what remote write says of itself.
func remoteWriteSelf(*slog.Logger) ([]metric.SelfMetric, error) {
	s, err := remotewrite.New(remotewrite.Options{URL: "http://localhost/api/v1/write", Names: []string{"showmax"}})
	if err != nil {
		return nil, err
	}
	return s.SelfMetrics(), nil
}

// kubernetesSelf lists what Kubernetes Events say of themselves.
func kubernetesSelf(*slog.Logger) ([]metric.SelfMetric, error) {
	return new(kubernetes.Sink).Self(), nil
}

// logsSelf lists what EMF to CloudWatch Logs says of itself.
func logsSelf(log *slog.Logger) ([]metric.SelfMetric, error) {
	output, err := emf.ParseOutput("logs://group/stream", "")
	if err != nil {
		return nil, err
	}
	s, err := emf.New(emf.Options{Output: output, Namespace: "ENA", Interval: time.Minute, Log: log})
	if err != nil {
		return nil, err
	}
	return s.(*emf.Logs).SelfMetrics(), nil
}

// otlpSelf lists what the OTLP sink says of itself.
func otlpSelf(log *slog.Logger) ([]metric.SelfMetric, error) {
	s, err := otlp.New(otlp.Options{Log: log})
	if err != nil {
		return nil, err
	}
	return s.SelfMetrics(), nil
}

// conntrackSelf lists what an agent says that watches tracked connections.
func conntrackSelf(*slog.Logger) ([]metric.SelfMetric, error) {
	t := metric.ConntrackTable{Known: true, Full: time.Minute}
	return agent.ConntrackSelf(&metric.Conntrack{Kernel: t, Card: t, Owners: []metric.ConntrackOwner{{Owner: "shop/cart-0"}}}), nil
}

// linkLocalSelf lists what an agent says that counts link-local traffic.
func linkLocalSelf(*slog.Logger) ([]metric.SelfMetric, error) {
	l := &metric.LinkLocal{Interfaces: []metric.LinkLocalUse{{}}, Senders: []metric.Sender{{}}, SendersKnown: true}
	for s := range linklocal.NumServices {
		l.Interfaces[0].Services = append(l.Interfaces[0].Services, metric.ServicePackets{Service: linklocal.Service(s).String()})
	}
	l.Interfaces[0].DNS.Latencies = []metric.LatencyCount{{}}
	return agent.LinkLocalSelf(l), nil
}
