// Command receiver is the OpenTelemetry collector's OTLP receiver with nothing
// behind it but standard output. It runs a program that sends to it, goes away
// from it for a while, and is told by SIGTERM to end both:
//
//	receiver -address 127.0.0.1:4318 -away 3s -back 6s PROGRAM ARGUMENT...
//
// Each request that it takes is a line of OTLP's JSON. It is a module of its own,
// so that the collector's dependencies are not the project's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

func main() {
	address := flag.String("address", "127.0.0.1:4318", "where to listen")
	away := flag.Duration("away", 3*time.Second, "when to go away")
	back := flag.Duration("back", 6*time.Second, "when to come back")
	flag.Parse()
	if err := run(*address, *away, *back, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "receiver:", err)
		os.Exit(1)
	}
}

func run(address string, away, back time.Duration, program []string) error {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	shutdown, err := receive(address)
	if err != nil {
		return err
	}
	c := exec.Command(program[0], program[1:]...)
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		return err
	}
	begun := time.Now()
	wait := func(d time.Duration) {
		select {
		case <-time.After(time.Until(begun.Add(d))):
		case <-stop.Done():
		}
	}
	wait(away)
	if err := shutdown(); err != nil {
		return err
	}
	wait(back)
	if shutdown, err = receive(address); err != nil {
		return err
	}
	<-stop.Done()
	return errors.Join(c.Process.Signal(syscall.SIGTERM), c.Wait(), shutdown())
}

// printed keeps lines whole, and counts requests.
var printed struct {
	sync.Mutex
	requests int
}

// refused is the number of the request that is refused as a collector does whose
// exporters can't keep up.
const refused = 2

// receive starts the receiver.
func receive(address string) (shutdown func() error, err error) {
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	in := map[string]any{"protocols": map[string]any{"http": map[string]any{"endpoint": address}}}
	if err := confmap.NewFromStringMap(in).Unmarshal(config); err != nil {
		return nil, err
	}
	var json pmetric.JSONMarshaler
	next, err := consumer.NewMetrics(func(_ context.Context, m pmetric.Metrics) error {
		line, err := json.MarshalMetrics(m)
		printed.Lock()
		defer printed.Unlock()
		if printed.requests++; err == nil && printed.requests == refused {
			err = errors.New("the queue is full")
		}
		if err == nil {
			_, err = fmt.Printf("%s\n", line)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	r, err := factory.CreateMetrics(ctx, receivertest.NewNopSettings(factory.Type()), config, next)
	if err != nil {
		return nil, err
	}
	if err := r.Start(ctx, componenttest.NewNopHost()); err != nil {
		return nil, err
	}
	return func() error { return r.Shutdown(ctx) }, nil
}
