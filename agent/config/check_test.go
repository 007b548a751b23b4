package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/ena"
)

// Whatever intervals are asked for, they are accepted or the change that the
// message asks for makes them so.
func TestIntervals(t *testing.T) {
	refusal := func(publish, sample time.Duration) string {
		l := &loader{config: &Config{PublishInterval: publish, SampleInterval: sample}}
		l.checkIntervals()
		if len(l.faults) == 0 {
			return ""
		}
		return l.faults[0].text
	}
	var publish []time.Duration
	for d := time.Second; d <= time.Hour; d += time.Second {
		publish = append(publish, d)
	}
	for n := time.Duration(24); n <= 86400; n++ { // also those that divide a day into fractions of a second
		if day%n == 0 && day/n%time.Second != 0 {
			publish = append(publish, day/n)
		}
	}
	accepted := 0
	for _, p := range publish {
		for _, s := range []time.Duration{time.Second, 1500 * time.Millisecond, 2 * time.Second, 7 * time.Second, 10 * time.Second, time.Minute} {
			first := refusal(p, s)
			if first == "" {
				accepted++
			}
			changes := 0
			for message := first; message != ""; message = refusal(p, s) {
				what, to, _ := strings.Cut(message[strings.LastIndex(message, ": change ")+9:], " to ")
				d, err := time.ParseDuration(to)
				if changes++; err != nil || changes > 2 {
					t.Fatalf("%s, then %s", first, message)
				}
				if what == "sample_interval" {
					s = d
				} else {
					p = d
				}
			}
			if day%p != 0 || p%s != 0 || p/s > 100 || s < time.Second || s > time.Minute {
				t.Fatalf("%s and %s were accepted", p, s)
			}
		}
	}
	if accepted < 200 {
		t.Errorf("only %d pairs were accepted at once", accepted)
	}
}

func TestInterfacesMatch(t *testing.T) {
	tests := []struct {
		include, exclude []string
		eni              string
		want             bool
	}{
		{include: []string{"*"}, want: true},
		{include: []string{"ens5"}, want: true},
		{include: []string{"eth*", "ens?"}, want: true},
		{include: []string{"eth*"}},
		{include: []string{"0a:58:*"}, want: true},
		{include: []string{"0b:*"}},
		{include: []string{"eni-0ab*"}, eni: "eni-0abc", want: true},
		{include: []string{"eni-0ab*"}},
		{include: []string{"*"}, exclude: []string{"ens[0-4]"}, want: true},
		{include: []string{"*"}, exclude: []string{"ens[0-5]"}},
		{include: []string{"*"}, exclude: []string{"eth0", "0a:*"}},
		{include: []string{"*"}, exclude: []string{"eni-*"}, want: true},
		{include: []string{"*"}, exclude: []string{"eni-*"}, eni: "eni-0abc"},
	}
	for _, test := range tests {
		i := Interfaces{Include: test.include, Exclude: test.exclude}
		if got := i.Match("ens5", "0a:58:a9:fe:01:02", test.eni); got != test.want {
			t.Errorf("include %q, exclude %q, ENI %q: got %t", test.include, test.exclude, test.eni, got)
		}
	}
}

func TestMatchQueueStats(t *testing.T) {
	tests := []struct {
		globs []string
		want  []string
	}{
		{[]string{"tx_queue_stop"}, []string{"queue_tx_queue_stop"}},
		{[]string{"queue_tx_queue_stop", "tx_queue_*"}, []string{"queue_tx_queue_stop", "queue_tx_queue_wakeup"}},
		{[]string{"*_linearize", "rx_cnt"}, []string{"queue_tx_linearize", "queue_rx_cnt"}},
		{[]string{"bw_in_allowance_exceeded"}, nil},
		{nil, nil},
	}
	for _, test := range tests {
		var got []string
		for _, s := range MatchQueueStats(test.globs...) {
			got = append(got, s.String())
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.globs, diff)
		}
	}
	if got := len(MatchQueueStats("*")); got != ena.NumStats-int(ena.FirstQueue) {
		t.Errorf("* matches %d stats of queues", got)
	}
}
