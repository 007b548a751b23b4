package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/doctor"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/provision/account"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
	"github.com/enawatch/enawatch/agent/sink/emf"
	"github.com/enawatch/enawatch/agent/sink/kubernetes"
	"github.com/enawatch/enawatch/agent/window"
)

// destinations checks everything that the configuration has the agent send to.
// Sinks are made as run makes them.
func (e *examination) destinations(ctx context.Context, who *whoami) []doctor.Check {
	e.shareCredentials(ctx, who)
	var list []doctor.Destination
	var checks []doctor.Check
	log, s := slog.New(slog.DiscardHandler), e.cfg.Sinks
	bad := func(sink string, err error) {
		checks = append(checks, doctor.Check{Name: "destination " + sink, Level: doctor.Failed, Found: err.Error(), Remedy: "mend the configuration: the agent does not start with it"})
	}
	if s.CloudWatch != nil {
		if sink, err := newCloudWatch(e.cfg, who, log); err != nil {
			bad("cloudwatch", err)
		} else {
			list = append(list, doctor.Destination{Sink: "cloudwatch", Account: sink.Account(), Role: s.CloudWatch.RoleARN, Probe: sink.Probe})
		}
	}
	if s.EMF != nil {
		more, found, err := e.emf(ctx, who)
		if err != nil {
			bad("emf", err)
		}
		list, checks = append(list, more...), append(checks, found...)
	}
	if s.OTLP != nil {
		if sink, err := newOTLP(e.cfg, who, log); err != nil {
			bad("otlp", err)
		} else {
			list = append(list, doctor.Destination{Sink: "otlp", Account: sink.Account(), Role: s.OTLP.RoleARN, Probe: sink.Probe})
		}
	}
	if s.RemoteWrite != nil {
		if sink, err := newRemoteWrite(e.cfg, who); err != nil {
			bad("remote_write", err)
		} else {
			list = append(list, doctor.Destination{Sink: "remote_write", Account: sink.Account(), Role: s.RemoteWrite.RoleARN, Probe: sink.Probe})
		}
	}
	if s.Kubernetes != nil {
		if o, err := kubernetesOptions(e.cfg, log); err != nil {
			bad("kubernetes", err)
		} else {
			server, err := kubernetes.Check(ctx, o)
			checks = append(checks, doctor.Cluster(server, o.Condition, err))
		}
	}
	return append(checks, doctor.Destinations(ctx, list, e.now())...)
}

// emf returns where EMF goes if that can be asked, and else what can be seen of
// it.
func (e *examination) emf(ctx context.Context, who *whoami) ([]doctor.Destination, []doctor.Check, error) {
	output, err := emf.ParseOutput(e.cfg.Sinks.EMF.Output, os.Getenv("AWS_EMF_AGENT_ENDPOINT"))
	if err != nil {
		return nil, nil, err
	}
	switch output.Scheme {
	case emf.SchemeTCP, emf.SchemeUDP, emf.SchemeUnix:
		return nil, doctor.Listener(ctx, string(output.Scheme), output.Address), nil
	case emf.SchemeFile:
		dir := filepath.Dir(output.Address)
		if _, err := os.Stat(dir); err != nil {
			return nil, []doctor.Check{{Name: "endpoint emf", Level: doctor.Failed, Found: err.Error(), Remedy: "make the directory, and let enawatch write to it"}}, nil
		}
	case emf.SchemeLogs:
		s, err := (&outputs{cfg: e.cfg, log: slog.New(slog.DiscardHandler)}).openEMF(who, io.Discard)
		if err != nil {
			return nil, nil, err
		}
		logs := s.(*emf.Logs)
		probe := func(ctx context.Context) awsclient.Probe { return logs.Probe(ctx, who.resource()) }
		return []doctor.Destination{{Sink: "emf", Account: logs.Account(), Role: e.cfg.Sinks.EMF.RoleARN, Probe: probe}}, nil, nil
	}
	return nil, nil, nil
}

// shareCredentials has all sinks use one credential chain, so that IMDS and STS
// are asked once.
func (e *examination) shareCredentials(ctx context.Context, who *whoami) {
	o, ok := accountOf(e.cfg)
	if !ok {
		return
	}
	o.FindRegion, o.DisableIMDS = who.region, e.cfg.Identity.Mode == "static"
	client, err := awsclient.New(o)
	if err != nil {
		return // the sink says so too
	}
	if loaded, failure := client.Load(ctx); failure == nil {
		who.credentials = loaded.Credentials
	}
}

// accountOf returns region and authority of the first sink that calls AWS.
func accountOf(cfg *config.Config) (awsclient.Options, bool) {
	s := cfg.Sinks
	switch {
	case s.CloudWatch != nil:
		return awsclient.Options{Sink: "cloudwatch", Region: s.CloudWatch.Region, CAFile: s.CloudWatch.CAFile}, true
	case s.EMF != nil && toLogs(s.EMF):
		return awsclient.Options{Sink: "emf", Region: s.EMF.Region, CAFile: s.EMF.CAFile}, true
	case s.OTLP != nil && s.OTLP.SigV4:
		return awsclient.Options{Sink: "otlp", Region: s.OTLP.Region, CAFile: s.OTLP.CAFile}, true
	case s.RemoteWrite != nil && s.RemoteWrite.ToAMP():
		return awsclient.Options{Sink: "remote_write", Region: s.RemoteWrite.Region, CAFile: s.RemoteWrite.CAFile}, true
	}
	return awsclient.Options{}, false
}

// toLogs reports whether EMF goes to CloudWatch Logs itself.
func toLogs(c *config.EMF) bool {
	output, err := emf.ParseOutput(c.Output, os.Getenv("AWS_EMF_AGENT_ENDPOINT"))
	return err == nil && output.Scheme == emf.SchemeLogs
}

// alarms checks alarms where the host itself sends metrics to CloudWatch.
func (e *examination) alarms(ctx context.Context, who *whoami) []doctor.Check {
	cfg := e.cfg
	if cfg.Sinks.CloudWatch == nil && (cfg.Sinks.EMF == nil || !toLogs(cfg.Sinks.EMF)) {
		return nil
	}
	o := accountOptions(cfg, "")
	o.AWS.FindRegion, o.AWS.Credentials, o.Attempts = who.region, who.credentials, 1
	host := doctor.Published{Dimensions: map[string]string{}, Metric: published}
	host.Namespace, _ = placeOf(cfg, "")
	for _, d := range who.fixed {
		host.Dimensions[d.Name] = d.Value
	}
	id := who.known().InstanceID
	if id != "" {
		host.Dimensions["InstanceId"] = id
	}
	a, err := account.Open(ctx, o)
	if err != nil {
		return doctor.Alarms(e.set, nil, host, err)
	}
	list, err := a.Watches(ctx, e.set, id)
	return doctor.Alarms(e.set, list, host, err)
}

// published reports whether enawatch has a metric of that name.
func published(name string) bool {
	if s, ok := ena.Lookup(name); ok {
		return !s.Entry().Internal
	}
	named := func(d window.Derived) bool { return d.Name == name }
	return slices.ContainsFunc(window.AllDerived(), named) || slices.ContainsFunc(window.LinkLocal(), named) ||
		slices.ContainsFunc(ena.Catalogue()[ena.FirstQueue:], func(e ena.Entry) bool { return e.Name == name })
}

// resolv reads this host's resolv.conf. Without one, or with one that is large, it
// says nothing.
func resolv() doctor.Resolv {
	const most = 64 << 10
	f, err := os.Open("/etc/resolv.conf")
	if err != nil {
		return doctor.Resolv{}
	}
	defer f.Close()
	text, _ := io.ReadAll(io.LimitReader(f, most)) // as much as there is
	return doctor.ParseResolv(fmt.Sprintf("%s\n", text))
}
