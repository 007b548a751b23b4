package otlp

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
	"github.com/enawatch/enawatch/agent/store"
	"github.com/enawatch/enawatch/test/awsfake"
)

// TestDown has CloudWatch's endpoint away for an hour: the spool keeps what the
// windows bring, and every point arrives.
func TestDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		aws, err := awsfake.New(awsfake.Options{})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		away := &awsfake.Direct{Server: aws, Up: func() bool {
			d := time.Since(began)
			return d < 30*time.Minute || d >= 90*time.Minute
		}}
		key := awsfake.DefaultCredential
		s := newSink(t, Options{Endpoint: "http://monitoring.invalid", SigV4: true, Account: awsclient.Options{
			Region: "us-east-1", DisableIMDS: true, Credentials: credentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, ""),
		}})
		r, failure := s.connect(t.Context())
		if failure != nil {
			t.Fatal(failure)
		}
		r.http = away
		s.receiver = r

		state, err := store.Open(t.TempDir(), store.Options{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		spool := &sink.Spool{Store: state, Sinks: []sink.Sink{s}}
		d := sink.NewDelivery(s, state.Queue(s.Name()), 0, slog.New(slog.DiscardHandler))
		const windows = 130
		for range windows {
			b := everything(0)
			b.Start = time.Now().UTC().Add(-time.Minute)
			if err := spool.Commit(nil, b, nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		d.Close(ctx)
		if err := state.Close(); err != nil {
			t.Error(err)
		}

		times := map[time.Time]int{}
		for _, p := range aws.OTLP.Points("system.network.ena.pps_allowance_exceeded") {
			if p.Value != 12 {
				t.Errorf("a point is %v, want 12", p.Value)
			}
			times[p.Time]++
		}
		if len(times) != windows || away.Refused == 0 {
			t.Errorf("points of %d windows arrived, want %d; %d requests were refused", len(times), windows, away.Refused)
		}
	})
}
