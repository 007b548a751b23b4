package kubernetes

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// namespace is where Events of what has no namespace go, as nodes.
const namespace = "default"

const eventsPath = "/api/v1/namespaces/" + namespace + "/events"

func statusPath(node string) string { return "/api/v1/nodes/" + node + "/status" }

// maxMessage is how long an Event's message may be, in bytes (core/v1, note of
// events.k8s.io/v1).
const maxMessage = 1024

// report is one thing to tell.
type report interface {
	send(context.Context, *client) error
	// told and lost take note that the API server has it, and that it does not
	// have what was to be updated. The caller holds the sink's lock.
	told(now time.Time)
	lost()
}

// event is what changes in an Event of core/v1.
type event struct {
	Count        int
	First, Last  string
	Type, Reason string
	Message      string
}

// object is a JSON object.
type object = map[string]any

// of returns the whole Event, about a node. Its uid is the node's name, as the
// kubelet has it: kubectl describe node finds Events by that.
func (e event) of(o Options, name string) object {
	return object{
		"apiVersion": "v1", "kind": "Event",
		"metadata":       object{"name": name, "namespace": namespace},
		"involvedObject": object{"apiVersion": "v1", "kind": "Node", "name": o.Node, "uid": o.Node},
		"type":           e.Type, "reason": e.Reason, "message": clip(e.Message),
		"count": e.Count, "firstTimestamp": e.First, "lastTimestamp": e.Last,
		"source":             object{"component": "enawatch", "host": o.Node},
		"reportingComponent": "enawatch", "reportingInstance": o.Instance,
	}
}

func clip(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage-len("…")], "") + "…"
}

// eventName makes a name that is the same when an answer is lost and the Event
// is sent again.
func eventName(node, reason string, at time.Time) string {
	return fmt.Sprintf("%.180s.%s.%x", node, strings.ToLower(reason), at.UnixMilli())
}

// eventReport makes or updates an Event.
type eventReport struct {
	incident    *incident
	version     int
	node, name  string
	create, end bool
	packets     float64 // that it tells of
	windows     int
	event       object
}

func (r *eventReport) send(ctx context.Context, c *client) error {
	if r.create {
		err := c.do(ctx, http.MethodPost, eventsPath, "application/json", r.event)
		if exists(err) {
			return nil // the answer to an earlier attempt was lost
		}
		return err
	}
	change := object{}
	for _, k := range []string{"count", "lastTimestamp", "message"} {
		change[k] = r.event[k]
	}
	return c.do(ctx, http.MethodPatch, eventsPath+"/"+r.name, "application/merge-patch+json", change)
}

func (r *eventReport) told(now time.Time) {
	i := r.incident
	i.toldAt = now
	if r.end {
		i.event = ""
		if i.over { // and did not begin again meanwhile
			i.over, i.dirty = false, false
		} else {
			i.since, i.packets, i.windows = i.again, i.packets-r.packets, i.windows-r.windows
		}
		return
	}
	i.event = r.name
	i.dirty = i.over || i.version != r.version
}

// lost forgets the Event: the API server keeps them for an hour.
func (r *eventReport) lost() { r.incident.event = "" }

// condition is the node's condition NetworkAllowanceHealthy, and what the API
// server knows of it.
type condition struct {
	known           bool // there was a window
	healthy         bool
	reason, message string
	since           time.Time

	told   string // what the API server knows
	toldAt time.Time
}

// heartbeat is how often a condition is told although nothing changed, so that
// it is seen to be alive.
const heartbeat = 5 * time.Minute

func (c *condition) observe(incidents []*incident, now time.Time) {
	healthy, reason, message := true, "WithinAllowances", "no allowance of the network is exceeded"
	for _, i := range incidents {
		if i.open {
			healthy, reason, message = false, i.reason, i.what+" exceeded since "+i.since.UTC().Format(time.RFC3339)
			break
		}
	}
	if !c.known || healthy != c.healthy {
		c.since = now
	}
	c.known, c.healthy, c.reason, c.message = true, healthy, reason, message
}

func (c *condition) due(now time.Time) (time.Time, bool) {
	switch {
	case !c.known:
		return time.Time{}, false
	case c.told != c.message:
		return now, true
	}
	return c.toldAt.Add(heartbeat), true
}

func (c *condition) report(o Options, now time.Time) report {
	return &conditionReport{condition: c, message: c.message, node: o.Node, patch: c.patch(now)}
}

// patch is what sets the condition.
func (c *condition) patch(now time.Time) object {
	status := "False"
	if c.healthy {
		status = "True"
	}
	return object{"status": object{"conditions": []object{{
		"type": "NetworkAllowanceHealthy", "status": status, "reason": c.reason, "message": c.message,
		"lastHeartbeatTime": now.UTC().Format(time.RFC3339), "lastTransitionTime": c.since.UTC().Format(time.RFC3339),
	}}}}
}

// conditionReport sets the node's condition.
type conditionReport struct {
	condition     *condition
	node, message string
	patch         object
}

func (r *conditionReport) send(ctx context.Context, c *client) error {
	return c.do(ctx, http.MethodPatch, statusPath(r.node), "application/strategic-merge-patch+json", r.patch)
}

func (r *conditionReport) told(now time.Time) { r.condition.told, r.condition.toldAt = r.message, now }

// lost is for a node that the API server does not know (yet).
func (r *conditionReport) lost() { r.condition.told, r.condition.toldAt = r.message, time.Now() }
