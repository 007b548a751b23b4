//go:build beds

package prometheus

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// started are the programs that must not outlive the child.
var started []*exec.Cmd

func must(err error) {
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, err)
	for _, c := range started {
		c.Process.Kill()
	}
	os.Exit(1)
}

// start starts a program whose output goes to the bed's log. What the environment
// has of ENAWATCH_* is the bed's, not the program's.
func start(program string, args ...string) *exec.Cmd {
	c := exec.Command(program, args...)
	c.Stdout, c.Stderr = os.Stderr, os.Stderr
	c.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "ENAWATCH_") })
	must(c.Start())
	started = append(started, c)
	return c
}

// stop ends a program in good order.
func stop(c *exec.Cmd) {
	must(c.Process.Signal(syscall.SIGTERM))
	c.Wait() // how it ends says nothing
}

// ready waits until a server answers 200.
func ready(url string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		if _, err := get(ctx, url, nil); err == nil {
			return
		}
		select {
		case <-ctx.Done():
			must(fmt.Errorf("%s does not answer", url))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func get(ctx context.Context, address string, header http.Header) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	must(err)
	if header != nil {
		r.Header = header
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: status %d: %s", address, resp.StatusCode, body)
	}
	return body, err
}

// server is Prometheus' API at an address.
type server struct {
	address string // with the API's prefix
	header  http.Header
}

// point is a value at a time in seconds.
type point struct{ At, Value float64 }

// series is one series of an answer.
type series struct {
	Metric map[string]string
	Points []point
}

// query asks at an instant. Ranges, as x[5m], give raw samples.
func (s server) query(expr string, at time.Time) ([]series, error) {
	v := url.Values{"query": {expr}, "time": {strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64)}}
	return s.ask("/api/v1/query?" + v.Encode())
}

func (s server) queryRange(expr string, from, to time.Time, step time.Duration) ([]series, error) {
	v := url.Values{"query": {expr}, "start": {strconv.FormatInt(from.Unix(), 10)}, "end": {strconv.FormatInt(to.Unix(), 10)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)}}
	return s.ask("/api/v1/query_range?" + v.Encode())
}

func (s server) ask(path string) ([]series, error) {
	body, err := get(context.Background(), s.address+path, s.header)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data struct {
			ResultType string
			Result     json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	if answer.Data.ResultType == "scalar" {
		var p [2]any
		err := json.Unmarshal(answer.Data.Result, &p)
		return []series{{Points: []point{pointOf(p)}}}, err
	}
	var result []struct {
		Metric map[string]string
		Value  [2]any
		Values [][2]any
	}
	if err := json.Unmarshal(answer.Data.Result, &result); err != nil {
		return nil, err
	}
	var list []series
	for _, r := range result {
		one := series{Metric: r.Metric}
		if r.Value[0] != nil {
			r.Values = append(r.Values, r.Value)
		}
		for _, v := range r.Values {
			one.Points = append(one.Points, pointOf(v))
		}
		list = append(list, one)
	}
	return list, nil
}

func pointOf(v [2]any) point {
	at, _ := v[0].(float64)
	text, _ := v[1].(string)
	value, err := strconv.ParseFloat(text, 64)
	must(err)
	return point{at, value}
}
