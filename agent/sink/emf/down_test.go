package emf_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/sink/awsclient"
	"github.com/enawatch/enawatch/agent/sink/emf"
	"github.com/enawatch/enawatch/test/awsfake"
)

// TestLogsDown has CloudWatch Logs away for an hour: the spool keeps what the
// windows bring, and everything arrives, in order and once.
func TestLogsDown(t *testing.T) {
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
		s := newSink(t, "logs:///enawatch/emf/{instance_id}", func(o *emf.Options) {
			key := awsfake.DefaultCredential
			o.Logs.Account = awsclient.Options{
				Region: "us-east-1", Endpoint: "http://logs.invalid", DisableIMDS: true,
				Credentials: credentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, key.SessionToken),
			}
		}).(*emf.Logs)
		if err := s.SetHTTP(t.Context(), away); err != nil {
			t.Fatal(err)
		}
		const windows = 130
		w := newWay(t, t.TempDir(), s)
		for _, b := range minutes(windows) {
			w.commit(t, b)
			time.Sleep(time.Minute)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		w.end(t)
		if n := w.self("enawatch_spool_items") + w.self("enawatch_dropped_data_total"); n != 0 || away.Refused == 0 {
			t.Errorf("%v left or dropped, %d requests refused", n, away.Refused)
		}
		got, copies := sums(t, stored(aws))
		if diff := cmp.Diff(wantSums(windows), got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if doubt := w.self("enawatch_ambiguous_data_total"); float64(copies) > doubt {
			t.Errorf("%d documents arrived twice, %v data in doubt", copies, doubt)
		}
	})
}
