// Command receiver is the OpenTelemetry collector's filelog receiver with nothing
// behind it but standard output: it follows the files that match a pattern, from
// their beginning, and prints each line that it finds, until SIGTERM.
//
//	receiver PATTERN
//
// It is a module of its own, so that the collector's dependencies are not the
// project's.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/open-telemetry/opentelemetry-collector-contrib/receiver/filelogreceiver"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: receiver PATTERN")
		os.Exit(2)
	}
	if err := follow(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "receiver:", err)
		os.Exit(1)
	}
}

func follow(pattern string) error {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	factory := filelogreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	in := map[string]any{"include": []any{pattern}, "start_at": "beginning", "poll_interval": "50ms", "max_log_size": "2MiB"}
	if err := confmap.NewFromStringMap(in).Unmarshal(config); err != nil {
		return err
	}
	var printing sync.Mutex
	next, err := consumer.NewLogs(func(_ context.Context, l plog.Logs) error {
		printing.Lock()
		defer printing.Unlock()
		for _, resource := range l.ResourceLogs().All() {
			for _, scope := range resource.ScopeLogs().All() {
				for _, record := range scope.LogRecords().All() {
					fmt.Println(record.Body().AsString())
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	ctx := context.Background()
	r, err := factory.CreateLogs(ctx, receivertest.NewNopSettings(factory.Type()), config, next)
	if err != nil {
		return err
	}
	if err := r.Start(ctx, componenttest.NewNopHost()); err != nil {
		return err
	}
	<-stop.Done()
	return r.Shutdown(ctx)
}
