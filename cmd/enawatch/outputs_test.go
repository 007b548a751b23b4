package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/metric"
)

// A thousand hosts do not send at once: none of the seconds gets three times its
// share, and nobody is later than the interval.
func TestHostsSpreadOverTheInterval(t *testing.T) {
	cfg := config.Default()
	cfg.Sinks.CloudWatch = &config.CloudWatch{PublishJitter: time.Minute}
	o := &outputs{cfg: cfg}
	seconds := map[int]int{}
	for i := range 1000 {
		phase := o.phase(metric.Resource{Host: fmt.Sprintf("ip-10-0-%d-%d", i/256, i%256), InstanceID: fmt.Sprintf("i-%017x", 0xabcdef+i)})
		if phase < 0 || phase >= time.Minute {
			t.Fatalf("phase %v", phase)
		}
		seconds[int(phase/time.Second)]++
	}
	for s, n := range seconds {
		if n > 3*1000/60 {
			t.Errorf("%d hosts in second %d", n, s)
		}
	}
	if len(seconds) < 55 {
		t.Errorf("only %d seconds are used", len(seconds))
	}
	cfg.PublishInterval = 10 * time.Second
	if phase := o.phase(metric.Resource{Host: "a"}); phase >= 10*time.Second {
		t.Errorf("phase %v of an interval of 10 s", phase)
	}
}
