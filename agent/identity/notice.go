package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Notice says that somebody is about to take this instance away.
type Notice struct {
	// By is who does: "spot", which is EC2, or "autoscaling".
	By string
	// Action is what is done: terminate, stop or hibernate by EC2; the target
	// lifecycle state, as Terminated, by Auto Scaling.
	Action string
	// At is when, or zero if that is not said.
	At time.Time
}

// Where notices stand (EC2 user guide, "Spot Instance interruption notices";
// EC2 Auto Scaling user guide, "Retrieve the target lifecycle state through
// instance metadata").
const (
	spotPath        = "spot/instance-action"
	autoScalingPath = "autoscaling/target-lifecycle-state"
)

var (
	// spotActions are what a spot instance is told.
	spotActions = []string{"terminate", "stop", "hibernate"}
	// leaving and staying are the target lifecycle states.
	leaving = []string{"Terminated", "Warmed:Terminated", "Warmed:Stopped", "Warmed:Hibernated"}
	staying = []string{"", "InService", "Standby", "Detached", "Warmed:Running"}
)

// ErrNotAsked says that IMDS is not asked at all, by configuration or because
// this is no EC2 instance.
var ErrNotAsked = errors.New("IMDS is not asked on this host")

// WatchNotices asks IMDS for notices at once and then every so often, until ctx
// ends: two requests each time, on one connection. It calls found with each
// notice that is another than the one before of the same kind, and failed with
// each error that is. Beside Run, it may be called once at a time.
func (r *Resolver) WatchNotices(ctx context.Context, every time.Duration, found func(Notice), failed func(error)) {
	if r.noticeClient == nil {
		failed(ErrNotAsked)
		return
	}
	c := r.noticeClient
	known, said := map[string]Notice{}, ""
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		notices, err := c.notices(ctx)
		c.door.http.CloseIdleConnections()
		if ctx.Err() != nil {
			return
		}
		for _, n := range notices {
			if n.Action != "" && n != known[n.By] {
				found(n)
			}
			known[n.By] = n
		}
		if err == nil {
			said = ""
		} else if text := err.Error(); text != said {
			said = text
			failed(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// notices asks for all notices. One without an action says that there is none.
func (c *client) notices(ctx context.Context) (list []Notice, err error) {
	text, err := c.get(ctx, spotPath)
	if err != nil {
		return nil, err
	}
	n, errSpot := parseSpot(text)
	if errSpot == nil {
		list = append(list, n)
	}
	state, err := c.get(ctx, autoScalingPath)
	if err != nil {
		return list, err
	}
	switch {
	case slices.Contains(leaving, state):
		list = append(list, Notice{By: "autoscaling", Action: state})
	case slices.Contains(staying, state):
		list = append(list, Notice{By: "autoscaling"})
	default:
		err = fmt.Errorf("IMDS says %s under %s, which is no lifecycle state that is known: it is taken for none", quote(state), autoScalingPath)
	}
	return list, errors.Join(errSpot, err)
}

// parseSpot reads what EC2 says of a spot instance; "" is nothing.
func parseSpot(text string) (Notice, error) {
	n := Notice{By: "spot"}
	if text == "" {
		return n, nil
	}
	var said struct {
		Action string    `json:"action"`
		Time   time.Time `json:"time"`
	}
	if err := json.Unmarshal([]byte(text), &said); err != nil || !slices.Contains(spotActions, said.Action) {
		return n, fmt.Errorf("IMDS says %s under %s, which is no action that is known: it is taken for none", quote(text), spotPath)
	}
	n.Action, n.At = said.Action, said.Time
	return n, nil
}
