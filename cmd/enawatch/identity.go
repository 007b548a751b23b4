package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/enawatch/enawatch/agent"
	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/identity"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink/cloudwatch"
	"github.com/enawatch/enawatch/agent/sink/otlp"
)

// whoami is who this host is, as far as that is known by now.
type whoami struct {
	resolver  *identity.Resolver
	fixed     []metric.Dimension
	simulated bool
	log       *slog.Logger
	// credentials replace the SDK's chain in all sinks, unless they are nil.
	credentials aws.CredentialsProvider

	mu       sync.Mutex
	host     identity.Host
	enis     []identity.ENI
	first    []identity.ENI // those that were known at the start
	moreENIs func()         // nil if nobody wants to know
}

func newIdentity(cfg *config.Config, simulated bool, log *slog.Logger) *whoami {
	i := cfg.Identity
	w := &whoami{
		simulated: simulated, log: log,
		resolver: identity.New(identity.Options{
			Static: simulated || i.Mode == "static",
			Host: identity.Host{
				Hostname: i.Host, InstanceID: i.InstanceID, InstanceType: i.InstanceType, Region: i.Region, Zone: i.Zone,
				ZoneID: i.ZoneID, AccountID: i.AccountID, ImageID: i.ImageID, AutoScalingGroup: i.AutoScalingGroup,
				Cluster: i.Cluster, Nodegroup: i.Nodegroup, Node: i.Node, Pod: i.Pod,
			},
		}),
	}
	for name, value := range cfg.Dimensions {
		w.fixed = append(w.fixed, metric.Dimension{Name: name, Value: value})
	}
	slices.SortFunc(w.fixed, func(a, b metric.Dimension) int { return strings.Compare(a.Name, b.Name) })
	return w
}

// macsOf lists the interfaces that there are. A kernel that can't list its
// devices is the agent's to complain of.
func macsOf(kernel ena.Kernel) (macs []string) {
	_ = ena.NewWatcher(kernel).Poll(true, func(d ena.Netdev, _ ena.Change) { macs = append(macs, d.Interface.MAC) })
	return macs
}

// find asks once about the host and its interfaces, for two seconds at most.
func (w *whoami) find(ctx context.Context, macs []string) {
	host, enis, warnings := w.resolver.Find(ctx, macs...)
	for _, err := range warnings {
		w.log.Warn(err.Error())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.host, w.enis, w.first = host, enis, slices.Clone(enis)
	w.log.Info("this host", "is", host)
}

// follow tells the agent what was found and what is found from now on, until
// the function that it returns is called.
func (w *whoami) follow(ctx context.Context, a *agent.Agent) (stop func()) {
	w.mu.Lock()
	w.first = slices.Clone(w.enis)
	first := w.first
	w.mu.Unlock()
	for _, e := range first {
		a.NameENI(e.MAC, e.ID, e.SubnetID)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.resolver.Run(ctx, func(u identity.Update) {
			for _, err := range u.Errs {
				w.log.Warn(err.Error())
			}
			if u.Host != nil {
				w.mu.Lock()
				w.host = *u.Host
				w.mu.Unlock()
				a.Identify(w.resource())
				w.log.Info("more is known of this host", "is", *u.Host)
			}
			for _, e := range u.ENIs {
				a.NameENI(e.MAC, e.ID, e.SubnetID)
			}
			w.learn(u.ENIs)
		})
	}()
	return func() {
		cancel()
		<-done
	}
}

// learn keeps what was found of interfaces.
func (w *whoami) learn(enis []identity.ENI) {
	if len(enis) == 0 {
		return
	}
	w.mu.Lock()
	for _, e := range enis {
		w.enis = slices.DeleteFunc(w.enis, func(old identity.ENI) bool { return old.MAC == e.MAC })
		w.enis = append(w.enis, e)
	}
	tell := w.moreENIs
	w.mu.Unlock()
	if tell != nil {
		tell()
	}
}

// attached has the ENI of a new interface looked up.
func (w *whoami) attached(mac string) {
	w.mu.Lock()
	known := slices.ContainsFunc(w.first, func(e identity.ENI) bool { return e.MAC == mac })
	w.mu.Unlock()
	if !known {
		w.resolver.Resolve(mac)
	}
}

func (w *whoami) known() identity.Host {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.host
}

// resource is the host as windows name it.
func (w *whoami) resource() metric.Resource {
	h := w.known()
	return metric.Resource{Host: h.Hostname, InstanceID: h.InstanceID, Zone: h.Zone, Dimensions: w.fixed, Simulated: w.simulated}
}

// cloudWatchHost is the host as CloudWatch's dimensions and entity name it.
func (w *whoami) cloudWatchHost() cloudwatch.Host {
	h := w.known()
	return cloudwatch.Host{
		AutoScalingGroup: h.AutoScalingGroup, Cluster: h.Cluster, Nodegroup: h.Nodegroup,
		Node: h.Node, ImageID: h.ImageID, InstanceType: h.InstanceType,
	}
}

// otlpHost is the host as OTLP's resource names it.
func (w *whoami) otlpHost() otlp.Host {
	h := w.known()
	return otlp.Host{
		Region: h.Region, Zone: h.Zone, AccountID: h.AccountID, InstanceType: h.InstanceType, ImageID: h.ImageID,
		AutoScalingGroup: h.AutoScalingGroup, Cluster: h.Cluster, Nodegroup: h.Nodegroup, Node: h.Node,
	}
}

func (w *whoami) region(context.Context) (string, error) { return w.known().Region, nil }
