package incident

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/live"
)

const none = live.NoValue

func window() *Window {
	return &Window{From: 1_795_000_000, Alive: 1_794_000_000, Document: live.Document{
		Host: "node-1", InstanceID: "i-0abc", Step: 1, Times: []int64{1_795_000_001, 1_795_000_002, 1_795_000_005, 1_795_000_004},
		Interfaces: []live.Interface{
			{
				Name: "ens5", MAC: "06:00:00:00:00:05", BusInfo: "0000:00:05.0", ENI: "eni-5", Driver: "2.17.0g", Link: "up", Pods: []string{"a/b", "c/d"},
				States: "vvsm",
				Allowances: []live.Allowance{
					{Name: "linklocal_allowance_exceeded", Values: live.Values{0, 643, none, none}},
					{Name: "conntrack_allowance_available", Values: live.Values{1 << 31, 1<<31 - 5, none, 7}},
					{Name: "bw_in_allowance_exceeded", Values: live.Values{none - 1, 0, none - 1, 0}},
				},
				Counters: []live.Counter{{Name: "wd_expired", Values: live.Values{0, 0, none, 1}}},
			},
			{Name: "ens6", MAC: "06:00:00:00:00:06", States: "....", Left: true, Allowances: []live.Allowance{{Name: "linklocal_allowance_exceeded", Values: live.Values{0, 0, 0, 0}}}},
		},
	}}
}

func TestEncoding(t *testing.T) {
	empty := &Window{Document: live.Document{Step: 60, Times: []int64{}, Interfaces: []live.Interface{}}}
	for _, w := range []*Window{window(), empty} {
		b := Append([]byte("before"), w)
		got, err := Decode(b[len("before"):])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(w, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

// A minute of sixteen interfaces of which one is throttled takes a few kilobytes.
func TestEncodingIsSmall(t *testing.T) {
	w := &Window{Document: live.Document{Host: "node-1", Step: 1}}
	for s := range 60 {
		w.Times = append(w.Times, int64(1_795_000_000+s))
	}
	for n := range 16 {
		i := live.Interface{Name: "ens5", MAC: "06:00:00:00:00:05", BusInfo: "0000:00:05.0", ENI: "eni-00000000000000005", Driver: "2.17.0g", Link: "up", States: strings.Repeat("v", 60)}
		for _, s := range live.Tracked {
			a := live.Allowance{Name: s.String(), Values: make(live.Values, 60)}
			for k := range a.Values {
				if n == 0 {
					a.Values[k] = uint32(k * k)
				}
			}
			i.Allowances = append(i.Allowances, a)
		}
		w.Interfaces = append(w.Interfaces, i)
	}
	if n := len(Append(nil, w)); n > 3000 {
		t.Errorf("%d bytes", n)
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := Append(nil, window())
	newer := append([]byte{encoding + 1}, good[1:]...)
	for _, b := range [][]byte{nil, newer, append(good[:len(good):len(good)], 0)} {
		if _, err := Decode(b); !errors.Is(err, ErrEncoding) {
			t.Errorf("%v", err)
		}
	}
	for n := range good {
		if _, err := Decode(good[:n]); !errors.Is(err, ErrEncoding) {
			t.Errorf("cut after %d of %d bytes: %v", n, len(good), err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Append(nil, window()))
	f.Add([]byte{encoding, 0, 0, 0, 0, 0, 4, 2, 2, 2, 2, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(Append(nil, w))
		if err != nil {
			t.Fatalf("what was decoded can't be decoded again: %v", err)
		}
		if diff := cmp.Diff(w, again); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}
