package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/cloudwatch"
	"github.com/enawatch/enawatch/agent/store"
)

// deliverySelf returns what a delivery and its store count after each of the
// ends that a request can come to.
func deliverySelf(log *slog.Logger) ([]metric.SelfMetric, error) {
	dir, err := os.MkdirTemp("", "enawatch-generate-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	state, err := store.Open(dir, store.Options{Log: log})
	if err != nil {
		return nil, err
	}
	defer state.Close()
	const name = "destination"
	queue := state.Queue(name)

	reasons := []string{store.DroppedOld, store.DroppedSpace, store.DroppedMemory, store.DroppedBroken}
	ends := []sink.Kind{sink.Poisoned, sink.TooLarge, sink.TooOld}
	items := make([]store.Item, len(reasons), len(reasons)+len(ends)+1)
	for _, kind := range ends {
		items = append(items, store.Item{Data: []byte{byte(kind)}})
	}
	items = append(items, store.Item{})
	for i := range items {
		items[i].At, items[i].Points = time.Now(), 1
	}
	state.Commit(nil, map[string][]store.Item{name: items})
	for _, reason := range reasons {
		item, ok := queue.Oldest()
		if !ok {
			return nil, errors.New("the store has lost an item")
		}
		queue.Drop(item, reason)
	}
	waiting := state.Self() // some of it is said only while something waits
	delivery := sink.NewDelivery(picky{name}, queue, 0, log)
	delivery.Close(context.Background())
	return append(append(delivery.Self(), state.Self()...), waiting...), nil
}

// picky is a destination that refuses what has something in it, as the kind of
// error that this names.
type picky struct{ name string }

func (p picky) Name() string                               { return p.name }
func (p picky) Pack(*metric.Batch) ([]sink.Request, error) { return nil, nil }
func (p picky) Split([]byte) []sink.Request                { return nil }
func (p picky) Describe([]byte) string                     { return "" }

func (p picky) Deliver(_ context.Context, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	kind := sink.Kind(data[0])
	return &sink.Error{Kind: kind, Err: fmt.Errorf("%s", kind)}
}

// cloudWatchSelf returns what the CloudWatch sink says of itself after a request
// whose entity was refused.
func cloudWatchSelf(log *slog.Logger) ([]metric.SelfMetric, error) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amzn-Failure-Message", "InvalidTypeValue")
		w.WriteHeader(http.StatusBadRequest)
	}))
	defer refusing.Close()
	s, err := cloudwatch.New(cloudwatch.Options{
		Namespace: "ENA", Region: "us-east-1", Endpoint: refusing.URL, DisableIMDS: true, Log: log,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "example"}, nil
		}),
	})
	if err != nil {
		return nil, err
	}
	requests, err := s.Pack(&metric.Batch{
		Start: time.Now(), Length: time.Minute, Resource: metric.Resource{Host: "host"},
		Series: []metric.Series{{Name: "heartbeat", Kind: metric.Gauge, Unit: metric.Seconds, Interface: -1, Samples: []float64{60}}},
	})
	if err != nil {
		return nil, err
	}
	for _, r := range requests {
		// That it fails is meant, but not before the request is sent.
		err := s.Deliver(context.Background(), r.Data)
		if early, ok := errors.AsType[*sink.Error](err); ok && early.Kind == sink.Credentials {
			return nil, err
		}
	}
	return s.SelfMetrics(), nil
}
