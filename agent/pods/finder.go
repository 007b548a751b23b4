package pods

import (
	"context"
	"log/slog"
	"net/netip"
	"time"
)

const (
	// every is how often the sources are asked although nothing happened, and
	// atLeast how long they are left alone after that, whatever happens.
	every   = time.Minute
	atLeast = 10 * time.Second
	// askLimit is how long the CNI's endpoint may take.
	askLimit = 2 * time.Second
)

// Finder asks the sources.
type Finder struct {
	introspection introspection
	routes        func() (routing, error)
	log           *slog.Logger
	wake          chan struct{}
	said          [2]string // the last complaint of each source
}

// New returns a finder that asks the CNI's introspection endpoint at address:
// host:port, or unix:/PATH.
func New(address string, log *slog.Logger) *Finder {
	return &Finder{
		introspection: newIntrospection(address), routes: readRoutes, log: log,
		wake: make(chan struct{}, 1),
	}
}

// Look has Run ask the sources soon. It does not block.
func (f *Finder) Look() {
	select {
	case f.wake <- struct{}{}:
	default: // it is to wake up already
	}
}

// Run asks at once, every minute and when Look was called, but not more often
// than every 10 seconds. It hands every answer to found and returns when ctx
// ends. A source that does not answer is logged once and asked again.
func (f *Finder) Run(ctx context.Context, found func(Map)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	due := time.Now()
	var asked time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
			if soon := later(time.Now(), asked.Add(atLeast)); soon.Before(due) {
				due = soon
				timer.Reset(time.Until(due))
			}
			continue
		case <-timer.C:
		}
		if m := f.ask(ctx); ctx.Err() == nil {
			found(m)
		}
		asked = time.Now()
		due = asked.Add(every)
		timer.Reset(every)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// ask asks both sources once.
func (f *Finder) ask(ctx context.Context) Map {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	named, err := f.introspection.ask(ctx)
	f.complain(0, "the VPC CNI does not say which pods are on which ENI: they are named by address", err)
	routes, err := f.routes()
	f.complain(1, "rules and routes can't be read: pods are told apart by the VPC CNI's word alone", err)
	return join(named, routes)
}

// complain logs an error of a source that is not the one it had before.
func (f *Finder) complain(source int, what string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != f.said[source] {
		f.log.Warn(what, "err", err)
	}
	f.said[source] = text
}

// join puts together what the sources say of each address.
func join(named []assignment, routes routing) Map {
	m := Map{nodeLocalDNS: routes.nodeLocalDNS, names: map[netip.Addr]string{}}
	for _, a := range named {
		m.names[a.address] = a.pod
		m.entries = append(m.entries, entry{pod: a.pod, eni: a.eni, index: routes.egress[a.address]})
	}
	for address, index := range routes.egress {
		if _, known := m.names[address]; !known {
			m.entries = append(m.entries, entry{pod: address.String(), index: index})
		}
	}
	return m
}
