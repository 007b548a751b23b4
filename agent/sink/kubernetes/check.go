package kubernetes

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// dryRun has the API server do all but store: it authenticates, authorizes,
// validates and admits.
const dryRun = "?dryRun=All"

// Check asks the API server by dry runs for everything that a sink with these
// options asks it for, and returns where it is. The error says what it refuses.
func Check(ctx context.Context, o Options) (server string, err error) {
	c, err := inCluster(serviceAccount)
	if err != nil {
		return "", err
	}
	return c.base, c.check(ctx, o, time.Now())
}

func (c *client) check(ctx context.Context, o Options, now time.Time) error {
	defer func() {
		if c.http != nil {
			c.http.CloseIdleConnections()
		}
	}()
	at := now.UTC().Format(time.RFC3339)
	e := event{Count: 1, First: at, Last: at, Type: "Normal", Reason: "Doctor", Message: "a dry run of enawatch doctor"}
	name := eventName(o.Node, e.Reason, now)
	if err := c.do(ctx, http.MethodPost, eventsPath+dryRun, "application/json", e.of(o, name)); err != nil {
		return err
	}
	// There is no such Event, which only those who may change it learn.
	err := c.do(ctx, http.MethodPatch, eventsPath+"/"+name+dryRun, "application/merge-patch+json", object{"count": 2})
	var a *answerError
	if err != nil && !(errors.As(err, &a) && a.gone()) {
		return err
	}
	if !o.Condition {
		return nil
	}
	return c.do(ctx, http.MethodPatch, statusPath(o.Node)+dryRun, "application/strategic-merge-patch+json", (&condition{healthy: true, since: now}).patch(now))
}
